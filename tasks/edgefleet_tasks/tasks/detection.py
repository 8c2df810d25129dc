"""Detection: boxes of classes, in pixels of what the application sent.

A reduced answer is the surest boxes, at most `KEPT`: corners as float32, score and class. The card says which outputs
hold them. Boxes whose score reaches the threshold count; those below are kept for the average precision.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import LOGITS, PROBABILITIES, BoxReading, OutputColumns, Spec
from edgefleet_tasks.arrays import LEVELS, class_of, clipped, numbers_in, output_at, shown
from edgefleet_tasks.boxes import Boxes, average_precision, f1, matched, read_boxes, soft_f1
from edgefleet_tasks.comparing import check_pairs, compared
from edgefleet_tasks.counting import OTHERS, strata_edges, stratum_of
from edgefleet_tasks.declaring import of_boxes, of_shares
from edgefleet_tasks.intervals import bootstrapped
from edgefleet_tasks.task import UNDECLARED, Measure, Outputs, Refusal, RunComparison

VERSION = 1
KEPT = 200
FLOOR = 0.05
"""Boxes below this score are not kept: they change the average precision by next to nothing."""
THRESHOLD = 0.3
_HEAD = struct.Struct("<BB")
_BOX = np.dtype([("corners", "<f4", 4), ("score", "<u2"), ("class", "<u2")])
_NONE = Boxes(np.empty((0, 4)), np.empty(0), np.empty(0, np.int64))


class Detection:
    """Boxes of classes."""

    name = "detection"
    measure = Measure("F1 of boxes")
    headlined = Measure("mAP at IoU 0.5")
    loss = "scaled_error"
    reads = frozenset({"boxes", "thresholds"})
    scores_alone = True
    reads_all = False

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """Whether the card says which outputs hold boxes, and the model has these."""
        if (reading := spec.boxes) is None:
            names = ", ".join(tensor.name for tensor in signature.outputs) or "no outputs"
            told = "say in the card which of them hold boxes, scores and classes, or name the task 'outputs'"
            return Refusal(f"the model has {names}: {told}")
        read = [one for one in (reading.boxes, reading.scores, reading.classes, reading.objectness) if one]
        places = [one.output for one in read] + [reading.counts]
        if (last := max(places)) >= len(signature.outputs):
            return Refusal(f"output {last} is to be read, but the model has {len(signature.outputs)}: correct the card")
        texts = [one.name for n, one in enumerate(signature.outputs) if n in places and one.datatype == "BYTES"]
        if texts:
            return Refusal(f"'{texts[0]}' holds texts: boxes, scores and classes are numbers")
        return _miscounted(signature, spec)

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """Logits or probabilities: scores from 0 to 1 on all of val are the latter."""
        if declared.boxes is None:
            refusal = self.fits(signature, declared)
            raise ValueError(refusal.sentence if refusal else "the card says nothing of boxes")
        runs = list(val)
        low, high = _range(runs, declared.boxes)
        spec = replace(
            declared,
            outputs=PROBABILITIES if low >= 0 and high <= 1 + 1e-3 else LOGITS,
            thresholds=declared.thresholds or (THRESHOLD,),
        )
        answers = [_read(answer) for run in runs for answer in self.reduce(run, spec)]
        return replace(spec, strata=declared.strata or strata_edges([_margin(one, spec) for one in answers]))

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """There is one threshold, from the least score of a box that is kept to 1; no column is read as two things."""
        reading = declared.boxes
        columns = None if reading is None else _count(signature, reading.scores, reading)
        boxes = None if reading is None else of_boxes(reading, columns, [one.name for one in signature.outputs])
        return boxes or of_shares(declared.thresholds, 1, FLOOR)

    def label(self, raw: Any, spec: Spec) -> Boxes:
        """Boxes as [class, x1, y1, x2, y2] in pixels, classes by number or name; none is an empty list."""
        expected = "a label is a list of boxes [class, x1, y1, x2, y2] in pixels, empty if there are none"
        if raw is None or isinstance(raw, str | bytes | dict) or np.ndim(_first(raw)) > 1:
            raise ValueError(f"{expected}; not {shown(raw)}")
        try:
            rows = [list(row) for row in raw]
        except TypeError:
            raise ValueError(f"{expected}; not {shown(raw)}") from None
        if not rows:
            return _NONE
        if wrong := [row for row in rows if len(row) != 5]:
            raise ValueError(f"{expected}; not {shown(wrong[0])}")
        corners = numbers_in([row[1:] for row in rows], "a box")
        if (corners[:, 2:] < corners[:, :2]).any():
            raise ValueError(f"{expected}; one has x2 below x1, or y2 below y1")
        classes = np.array([class_of(_whole(row[0]), spec) for row in rows], np.int64)
        return Boxes(corners, np.ones(len(rows)), classes)

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """The surest boxes of each sample."""
        boxes = output_at(outputs, spec.boxes.boxes.output if spec.boxes else 0)
        if boxes.ndim < 2:
            raise ValueError(f"boxes are [samples, boxes, ...], not {list(boxes.shape)}")
        answers = []
        for sample in range(len(boxes)):
            found = read_boxes(outputs, sample, spec, FLOOR, KEPT)
            packed = np.zeros(len(found), _BOX)
            packed["corners"] = clipped(found.corners)
            packed["score"] = np.rint(np.clip(found.scores, 0, 1) * LEVELS)
            packed["class"] = np.minimum(found.classes, LEVELS)
            answers.append(_HEAD.pack(VERSION, len(found)) + packed.tobytes())
        return answers

    def score(self, answer: bytes, label: Boxes, spec: Spec) -> float:
        """F1 of the boxes that match by half (IoU)."""
        return f1(_counted(_read(answer), spec), label)

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """F1 of the boxes, where a match counts from nothing at IoU 0.5 to in full at 0.8."""
        return soft_f1(_counted(_read(one), spec), _counted(_read(other), spec))

    def category(self, answer: bytes, spec: Spec) -> int:
        """How many boxes there are."""
        return min(OTHERS, len(_counted(_read(answer), spec)))

    def category_name(self, category: int, spec: Spec) -> str:
        """The number of boxes."""
        return f"{category} box{'es' * (category != 1)}" if category < OTHERS else f"{OTHERS} boxes or more"

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """By how far the nearest score is from the threshold."""
        return stratum_of(_margin(_read(answer), spec), spec)

    def truth(self, answer: bytes, spec: Spec) -> Boxes:
        """The boxes of an answer that count."""
        return _counted(_read(answer), spec)

    def headline(self, answers: Sequence[bytes], labels: Sequence[Boxes], spec: Spec) -> Interval:
        """The mean average precision at IoU 0.5, with a bootstrapped interval."""
        judged = average_precision([(_read(a), label) for a, label in zip(answers, labels, strict=True)])
        return bootstrapped(judged.mean, len(answers))

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """F1 of the boxes, and the largest difference of a score or a place; sizes are part of the places."""
        check_pairs(found, recorded)
        return compared(
            [_read(one) for one in found],
            [_read(one) for one in recorded],
            lambda a, b: soft_f1(_counted(a, spec), _counted(b, spec)),
            lambda a, b: _difference(a, b, spec),
            lambda one: 1.0,
        )


TASK = Detection()


def _miscounted(signature: Signature, spec: Spec) -> Refusal | None:
    """Whether there is a score for each class that has a name, as far as is known."""
    names, reading = len(spec.names), spec.boxes
    if reading is None or reading.classes is not None or not names:
        return None
    columns = _count(signature, reading.scores, reading)
    scores = None if columns is None else columns - reading.first_class
    if scores in (None, names):
        return None
    told = f"{scores} columns hold scores, and there are {names} labels"
    return Refusal(f"{told}: correct `first`, `count` or `boxes_last` of the scores, or the labels")


def _count(signature: Signature, columns: OutputColumns, reading: BoxReading) -> int | None:
    """How many columns are read; None if that is not known."""
    if columns.count:
        return columns.count
    shape, axis = signature.outputs[columns.output].shape, -2 if reading.boxes_last else -1
    size = shape[axis] if len(shape) >= -axis else None
    return size - columns.first if isinstance(size, int) else None


def _range(runs: Sequence[Outputs], reading: BoxReading) -> tuple[float, float]:
    """The least and the largest score on val, and at least from 0 to 0."""
    place, low, high = reading.scores, 0.0, 0.0
    for run in runs:
        values = output_at(run, place.output)
        axis = 1 if reading.boxes_last and values.ndim > 2 else values.ndim - 1
        end = place.first + place.count if place.count else values.shape[axis]
        columns = range(place.first, min(end, values.shape[axis])) if values.ndim > 2 else range(values.shape[axis])
        part = np.take(values, columns, axis=axis)
        low, high = min(low, float(part.min(initial=0))), max(high, float(part.max(initial=0)))
    return low, high


def _first(raw: Any) -> Any:
    return raw[0] if isinstance(raw, list | tuple) and raw else ()


def _whole(raw: Any) -> Any:
    """A class that stands among floats, as in an array of boxes."""
    return int(raw) if isinstance(raw, float | np.floating) and float(raw).is_integer() else raw


def _read(answer: bytes) -> Boxes:
    if len(answer) < _HEAD.size or answer[0] != VERSION:
        raise MalformedMessage(f"{len(answer)} bytes are no reduced answer of detection")
    _, count = _HEAD.unpack_from(answer)
    if count > KEPT or len(answer) != _HEAD.size + count * _BOX.itemsize:
        raise MalformedMessage(f"{len(answer)} bytes are no {count} boxes")
    packed = np.frombuffer(answer[_HEAD.size :], _BOX)
    scores = packed["score"] / LEVELS
    if not np.isfinite(packed["corners"]).all() or (np.diff(scores) > 0).any():
        raise MalformedMessage("a reduced answer of detection contradicts itself")
    return Boxes(packed["corners"].astype(np.float64), scores, packed["class"].astype(np.int64))


def _threshold(spec: Spec) -> float:
    return round((spec.thresholds or (THRESHOLD,))[0] * LEVELS) / LEVELS


def _counted(boxes: Boxes, spec: Spec) -> Boxes:
    return boxes.where(boxes.scores >= _threshold(spec))


def _margin(boxes: Boxes, spec: Spec) -> float:
    return float(np.abs(boxes.scores - _threshold(spec)).min(initial=1))


def _difference(one: Boxes, other: Boxes, spec: Spec) -> float:
    """The largest difference of a score or overlap among boxes of both, or how far one of a single side counts."""
    pairs = matched(one, other)
    gaps = [max(abs(float(one.scores[i] - other.scores[j])), 1 - alike) for i, j, alike in pairs]
    alone = [
        float(score) - _threshold(spec)
        for side, boxes in ((0, one), (1, other))
        for n, score in enumerate(boxes.scores)
        if n not in {pair[side] for pair in pairs}
    ]
    return max([*gaps, *alone, 0.0])
