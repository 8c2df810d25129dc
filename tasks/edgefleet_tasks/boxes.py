"""Boxes: read from a detector's outputs as its card says, and matched by how far they overlap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.spec import CENTRE, CORNER_SIZE, CORNERS_Y_FIRST, LOGITS, BoxReading, OutputColumns, Spec
from edgefleet_tasks.arrays import Numbers, finite, output_at
from edgefleet_tasks.task import Outputs

MOST_CANDIDATES = 1000
"""So many of the surest are looked at for overlaps."""
HALF = 0.5
"""From this overlap (IoU) on, two boxes show the same thing."""
FULL = 0.8
"""From this overlap on, two boxes are as good as one: those that people draw differ by as much."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of one sample, the surest first: float64 [boxes, 4] as x1, y1, x2, y2, with scores and classes [boxes]."""

    corners: Numbers
    scores: Numbers
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)

    def where(self, kept: Any) -> "Boxes":
        """Some of the boxes, by place or mask."""
        return Boxes(self.corners[kept], self.scores[kept], self.classes[kept])


def read_boxes(outputs: Outputs, sample: int, spec: Spec, floor: float, most: int) -> Boxes:
    """The boxes of a sample whose score is at least `floor`, at most so many.

    Raises:
        AnswerNotFinite: a box has NaN or infinity.
        ValueError: the outputs are not as the card says.
    """
    reading = spec.boxes
    if reading is None:
        raise ValueError(
            "it is not said which outputs hold the boxes: map them in the card, or name the task 'outputs'"
        )
    corners = _columns(outputs, reading.boxes, reading, sample)
    scores = _class_scores(outputs, sample, reading)
    rest = (reading.classes, reading.objectness)
    more = [_columns(outputs, place, reading, sample) for place in rest if place is not None]
    counts = {len(one) for one in (corners, scores, *more)}
    if corners.shape[1] != 4 or len(counts) != 1:
        raise ValueError(f"a box has 4 numbers, and each a score; found {list(corners.shape)} and {list(scores.shape)}")
    best = box_scores(outputs, sample, spec, reading)
    (there,) = np.nonzero(best >= floor)
    there = there[np.argsort(-best[there], kind="stable")[:MOST_CANDIDATES]]
    if reading.classes is not None:
        numbers = _columns(outputs, reading.classes, reading, sample)
        classes = np.rint(numbers[there, 0]).astype(np.int64) - reading.first_class
    else:
        classes = scores[there].argmax(1) if len(there) else np.empty(0, np.int64)
    placed = _as_corners(finite(corners[there]).astype(np.float64), reading)
    return _apart(Boxes(placed, best[there], classes), reading.overlap, most)


def box_scores(outputs: Outputs, sample: int, spec: Spec, reading: BoxReading) -> Numbers:
    """The score of each box of a sample that is meant, float64 [boxes]; -inf if it is of no class.

    Raises:
        AnswerNotFinite: a score has NaN or infinity.
        ValueError: the outputs are not as the card says.
    """
    scores = _class_scores(outputs, sample, reading)
    meant = min(len(scores), _meant(outputs, reading, sample))
    best = _shares(finite(scores[:meant].max(1, initial=-np.inf) if scores.shape[1] else np.empty(0)), spec)
    if reading.objectness is not None:
        objectness = _columns(outputs, reading.objectness, reading, sample)
        best = best * _shares(finite(objectness[:meant, 0]), spec)
    if reading.classes is not None:
        numbers = _columns(outputs, reading.classes, reading, sample)
        best = np.where(np.rint(finite(numbers[:meant, 0])) < reading.first_class, -np.inf, best)
    return np.asarray(best)


def columns_read(outputs: Outputs, sample: int, reading: BoxReading) -> list[NDArray[Any]]:
    """What is read of a sample's boxes, each [boxes, columns]: their corners and scores, then classes and objectness.

    Raises:
        ValueError: the outputs are not as the card says.
    """
    places = (reading.boxes, reading.scores, reading.classes, reading.objectness)
    return [_columns(outputs, place, reading, sample) for place in places if place is not None]


def overlaps(one: Numbers, other: Numbers) -> Numbers:
    """How far boxes overlap: the IoU of each with each, [boxes, other boxes]."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (one, other)]
    either = areas[0][:, None] + areas[1][None, :] - both
    return np.asarray(np.where(either > 0, both / np.where(either > 0, either, 1), 0.0))


def matched(one: Boxes, other: Boxes) -> list[tuple[int, int, float]]:
    """Pairs of boxes of one class that overlap by half, the best first, and by how much; each box is in one at most.

    Which side comes first makes no difference: two pairs that overlap alike are ordered by both places together.
    """
    alike = overlaps(one.corners, other.corners)
    alike = np.where(one.classes[:, None] == other.classes[None, :], alike, 0)
    places = [(int(i), int(j)) for i, j in zip(*np.nonzero(alike >= HALF), strict=True)]
    places.sort(key=lambda p: (-alike[p], p[0] + p[1], abs(p[0] - p[1])))
    pairs: list[tuple[int, int, float]] = []
    taken: tuple[set[int], set[int]] = set(), set()
    for i, j in places:
        if i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            pairs.append((i, j, float(alike[i, j])))
    return pairs


def f1(one: Boxes, other: Boxes) -> float:
    """F1 of boxes that match by half; 1 where neither side has any."""
    total = len(one) + len(other)
    return 2 * len(matched(one, other)) / total if total else 1.0


def soft_f1(one: Boxes, other: Boxes) -> float:
    """The same, but what matches by half only counts nothing yet, and in full where it is as good as one."""
    total = len(one) + len(other)
    credit = math.fsum(min(1.0, (alike - HALF) / (FULL - HALF)) for _, _, alike in matched(one, other))
    return min(1.0, 2 * credit / total) if total else 1.0


def _columns(outputs: Outputs, place: OutputColumns, reading: BoxReading, sample: int) -> NDArray[Any]:
    """The columns of a sample's boxes, [boxes, columns]."""
    whole = output_at(outputs, place.output)
    if whole.ndim < 2 or sample >= len(whole) or whole.dtype.kind not in "fiu":
        raise ValueError(
            f"output {place.output} is {whole.dtype} {list(whole.shape)}: boxes are numbers, [samples, boxes, ...]"
        )
    values = whole[sample]
    while values.ndim > 2 and len(values) == 1:
        values = values[0]
    if values.ndim == 1:
        values = values[:, None]
    elif reading.boxes_last:
        values = values.reshape(values.shape[0], -1).T
    else:
        values = values.reshape(-1, values.shape[-1])
    end = place.first + place.count if place.count else values.shape[1]
    if end > values.shape[1] or place.first >= end:
        raise ValueError(f"output {place.output} has {values.shape[1]} columns: the card reads up to column {end}")
    return np.asarray(values[:, place.first : end])


def _class_scores(outputs: Outputs, sample: int, reading: BoxReading) -> NDArray[Any]:
    """The scores of a sample's boxes by class, [boxes, classes], or that of the class that each is said to be of."""
    scores = _columns(outputs, reading.scores, reading, sample)
    return scores if reading.classes is not None else scores[:, reading.first_class :]  # those before are no class


def _meant(outputs: Outputs, reading: BoxReading, sample: int) -> int:
    if reading.counts < 0:
        return 2**31
    values = finite(output_at(outputs, reading.counts)).reshape(-1)
    if sample >= len(values):
        raise ValueError(f"output {reading.counts} says how many boxes there are of {len(values)} samples only")
    return max(0, int(values[sample]))


def _as_corners(boxes: Numbers, reading: BoxReading) -> Numbers:
    a, b, c, d = boxes.T
    if reading.form == CENTRE:
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    elif reading.form == CORNER_SIZE:
        c, d = a + c, b + d
    elif reading.form == CORNERS_Y_FIRST:
        a, b, c, d = b, a, d, c
    return np.stack([a * reading.scale_x, b * reading.scale_y, c * reading.scale_x, d * reading.scale_y], 1)


def _shares(scores: NDArray[Any], spec: Spec) -> Numbers:
    values = scores.astype(np.float64)
    return 1 / (1 + np.exp(-np.clip(values, -500, 500))) if spec.outputs == LOGITS else values


def _apart(boxes: Boxes, overlap: float, most: int) -> Boxes:
    """At most so many boxes; of those of one class that overlap by more, only the surest (non-maximum suppression)."""
    if overlap >= 1:
        return boxes.where(slice(most))
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left) and len(kept) < most:
        first, left = left[0], left[1:]
        kept.append(int(first))
        alike = overlaps(boxes.corners[first : first + 1], boxes.corners[left])[0]
        left = left[(alike <= overlap) | (boxes.classes[left] != boxes.classes[first])]
    return boxes.where(np.array(kept, np.int64))


def average_precision(samples: Sequence[tuple[Boxes, Boxes]]) -> "RankedBoxes":
    """What mean average precision needs of (answers, truth), each sample's answers the surest first.

    An answer takes the truth of its class that it overlaps most, if nothing surer took it, and that by half.
    """
    rows: list[tuple[int, int, float, bool]] = []
    wanted: list[tuple[int, int]] = []
    for n, (answers, truth) in enumerate(samples):
        wanted += [(n, c) for c in truth.classes.tolist()]
        alike = overlaps(answers.corners, truth.corners)
        alike = np.where(answers.classes[:, None] == truth.classes[None, :], alike, 0)
        for i, (score, c) in enumerate(zip(answers.scores.tolist(), answers.classes.tolist(), strict=True)):
            best = int(alike[i].argmax()) if len(truth) else -1
            hit = best >= 0 and bool(alike[i, best] >= HALF)
            if hit:
                alike[:, best] = 0
            rows.append((n, c, score, hit))
    return RankedBoxes(rows, wanted)


class RankedBoxes:
    """Answers of all samples with whether each is right, by class: enough for the figure of any weighting."""

    def __init__(self, rows: list[tuple[int, int, float, bool]], wanted: list[tuple[int, int]]) -> None:
        self._of: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]] = []
        for c in sorted({one for _, one in wanted}):
            mine = sorted((row for row in rows if row[1] == c), key=lambda row: -row[2])
            places = np.array([row[0] for row in mine], np.int64)
            hits = np.array([row[3] for row in mine], np.float64)
            self._of.append((places, hits, np.array([n for n, one in wanted if one == c], np.int64)))

    def mean(self, weights: Numbers) -> float:
        """The mean average precision (101 points of recall, as COCO has it) of samples with these weights."""
        figures = []
        for places, hits, wanted in self._of:
            if total := float(weights[wanted].sum()):
                right = np.cumsum(weights[places] * hits)
                given = np.cumsum(weights[places])
                precision = right / np.maximum(given, 1e-300)
                rising = np.maximum.accumulate(precision[::-1])[::-1]
                at = np.searchsorted(right / total, np.linspace(0, 1, 101))
                figures.append(float(np.append(rising, 0.0)[at].mean()))
        return sum(figures) / len(figures) if figures else float("nan")
