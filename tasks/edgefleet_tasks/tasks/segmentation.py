"""Segmentation: a class for each pixel.

A reduced answer is the classes at the points of a fixed grid, whatever the size of the picture, with how sure the
answer is and how far its largest numbers lie above the others.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import FLOATS, Signature, Tensor
from edgefleet_protocol.spec import CATEGORIES, Spec
from edgefleet_tasks.arrays import LEVELS, clipped, finite, head, output_at, whole_numbers_in
from edgefleet_tasks.comparing import check_pairs, compared
from edgefleet_tasks.counting import category_of, class_name, commonest, strata_edges, stratum_of
from edgefleet_tasks.intervals import SampleWeights, bootstrapped
from edgefleet_tasks.task import UNDECLARED, Measure, Outputs, Refusal, RunComparison

VERSION = 1
GRID = 60
MOST_CLASSES = 255
"""Classes from here on count as one."""
CLASS_MAP, CHANNELS_FIRST, CHANNELS_LAST = "class_map", "channels_first", "channels_last"
MASK, MASK_LOGITS = "mask", "mask_logits"
KINDS = (CLASS_MAP, CHANNELS_FIRST, CHANNELS_LAST, MASK, MASK_LOGITS)
_HEAD = struct.Struct("<BHf")
ClassGrid = NDArray[np.int64]


class Segmentation:
    """A class for each pixel."""

    name = "segmentation"
    measure = Measure("mean IoU")
    headlined = Measure("mIoU")
    loss = "cross_entropy"
    reads = frozenset({"read_from"})
    scores_alone = True
    reads_all = False

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """Whether an output is a map of classes, or a map of numbers for each."""
        if (place := _place(signature, spec)) is None:
            answers = ", ".join(tensor.shown for tensor in signature.outputs) or "nothing"
            told = "[samples, height, width] of classes or [samples, classes, height, width]"
            return Refusal(f"the model answers {answers}: a segmenter answers {told}")
        tensor = signature.outputs[place]
        sizes = [axis for axis in tensor.shape[1:] if isinstance(axis, int)]
        if spec.names and len(tensor.shape) == 4 and len(sizes) == 3 and not {len(spec.names), 1} & set(sizes):
            return Refusal(f"{len(spec.names)} labels are named, but the model answers {tensor.shown}: correct labels")
        return None

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """How classes lie in the output, and for a single map of numbers whether they are from 0 to 1 on all of val."""
        place, runs = _place(signature, declared) or 0, list(val)
        maps = [output_at(run, place) for run in runs]
        kind = declared.outputs if declared.outputs in KINDS else _kind(maps, declared)
        channels = {one.shape[1 if kind == CHANNELS_FIRST else -1] for one in maps if kind.startswith("channels")}
        width = 2 if kind.startswith("mask") else channels.pop() if len(channels) == 1 else 0
        spec = replace(declared, outputs=kind, read_from=place, width=declared.width or len(declared.names) or width)
        answers = [answer for run in runs for answer in self.reduce(run, spec)]
        return replace(
            spec,
            strata=declared.strata or strata_edges([_read(one)[0] for one in answers]),
            commonest=declared.commonest or commonest(_most(_read(one)[2]) for one in answers),
        )

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """Which output is read is all that there is to say."""
        return None

    def label(self, raw: Any, spec: Spec) -> ClassGrid:
        """A class for each pixel, [height, width], of any size; 255 and what is below 0 is not labelled."""
        values = whole_numbers_in(raw, "a label")
        if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
            values = values[0] if values.shape[0] == 1 else values[..., 0]
        if values.ndim != 2 or not values.size:
            raise ValueError(f"a label is a class for each pixel, [height, width]; not {list(values.shape)}")
        unknown = (values < 0) | (values == MOST_CLASSES)
        if spec.classes and (beyond := values[~unknown & (values >= spec.classes)]).size:
            raise ValueError(f"a label is of classes from 0 to {spec.classes - 1}, or 255 for none; not {beyond[0]}")
        if unknown.all():
            raise ValueError("a label has no pixel with a class: leave the sample out")
        return _at_grid(np.where(unknown, -1, np.minimum(values, MOST_CLASSES)))

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """The classes at the grid's points, for each sample."""
        values = finite(output_at(outputs, spec.read_from))
        if values.ndim not in (3, 4) or 0 in values.shape[1:]:
            raise ValueError(
                f"a segmenter answers [samples, height, width] and maybe classes, not {list(values.shape)}"
            )
        return [_reduced(values[sample], spec) for sample in range(len(values))]

    def score(self, answer: bytes, label: ClassGrid, spec: Spec) -> float:
        """The mean IoU of the classes that either side has, on the grid."""
        return _mean_iou(_read(answer)[2], label)

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """As the score, with another answer in place of the label."""
        return _mean_iou(_read(one)[2], _read(other)[2])

    def category(self, answer: bytes, spec: Spec) -> int:
        """The class of most points."""
        return category_of(_most(_read(answer)[2]), spec)

    def category_name(self, category: int, spec: Spec) -> str:
        """The class by its name or number."""
        return class_name(category, spec)

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """How far classes lie above the next, or for a map of classes how many points have neighbours alike."""
        return stratum_of(_read(answer)[0], spec)

    def headline(self, answers: Sequence[bytes], labels: Sequence[ClassGrid], spec: Spec) -> Interval:
        """The IoU of each labelled class over all samples, their mean; with a bootstrapped interval."""
        counts = [_counts(_read(a)[2], label) for a, label in zip(answers, labels, strict=True)]
        shape = (len(counts), CATEGORIES)
        both, either, wanted = (np.array([one[n] for one in counts]).reshape(shape) for n in range(3))

        def figure(weights: SampleWeights) -> float:
            there = weights @ wanted > 0
            shares = (weights @ both)[there] / np.maximum((weights @ either)[there], 1)
            return float(shares.mean()) if there.any() else math.nan

        return bootstrapped(figure, len(counts))

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """The mean IoU, the largest share of points that differ, and the factor between the outputs."""
        check_pairs(found, recorded)
        return compared(
            [_read(one) for one in found],
            [_read(one) for one in recorded],
            lambda a, b: _mean_iou(a[2], b[2]),
            lambda a, b: float((a[2] != b[2]).mean()),
            lambda one: one[1],
        )


TASK = Segmentation()


def _place(signature: Signature, spec: Spec) -> int | None:
    places = [(n, one) for n, one in enumerate(signature.outputs) if _is_map(one)]
    if spec.read_from:
        places = [place for place in places if place[0] == spec.read_from]
    return next((n for n, _ in places), None)


def _is_map(tensor: Tensor) -> bool:
    if len(tensor.shape) == 3:
        return tensor.datatype != "BYTES"
    return len(tensor.shape) == 4 and (tensor.datatype in FLOATS or 1 in tensor.shape[1:])


def _kind(maps: list[NDArray[Any]], declared: Spec) -> str:
    """What val's outputs are: whole numbers are classes, one map of floats a mask, and the shortest axis channels."""
    if not maps or maps[0].dtype.kind != "f":
        return CLASS_MAP
    shape = maps[0].shape
    if len(shape) == 3 or 1 in (shape[1], shape[3]):
        shares = all(float(one.min(initial=0)) >= 0 and float(one.max(initial=0)) <= 1 for one in maps)
        return MASK if shares else MASK_LOGITS
    if declared.names and (shape[1] == len(declared.names)) != (shape[3] == len(declared.names)):
        return CHANNELS_FIRST if shape[1] == len(declared.names) else CHANNELS_LAST
    return CHANNELS_FIRST if shape[1] <= shape[3] else CHANNELS_LAST


def _at_grid(values: NDArray[Any]) -> NDArray[Any]:
    """What is at the grid's points of [height, width, ...]."""
    rows, columns = ((np.arange(GRID) * 2 + 1) * size // (2 * GRID) for size in values.shape[:2])
    return np.asarray(values[rows[:, None], columns[None, :]])


def _reduced(values: NDArray[Any], spec: Spec) -> bytes:
    if spec.outputs == CHANNELS_FIRST and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    elif values.ndim == 3 and spec.outputs != CHANNELS_LAST:
        values = values[0] if len(values) == 1 else values[..., 0]
    channels = 3 if spec.outputs in (CHANNELS_FIRST, CHANNELS_LAST) else 2
    if values.ndim != channels or spec.outputs not in KINDS:
        raise ValueError(f"a sample's answer is {list(values.shape)}: that is no '{spec.outputs}' of a segmenter")
    points = _at_grid(values)
    if spec.outputs == CLASS_MAP:
        classes, spread = np.rint(points).astype(np.int64), 1.0
        across, down = (classes[1:] == classes[:-1]).mean(), (classes[:, 1:] == classes[:, :-1]).mean()
        sure = float(across + down) / 2
    elif channels == 2:
        above = points.astype(np.float64) - (0.5 if spec.outputs == MASK else 0.0)
        classes, spread = (above >= 0).astype(np.int64), float(np.abs(above).mean())
        sure = min(1.0, 2 * spread) if spec.outputs == MASK else spread / (1 + spread)
    else:
        points = points.astype(np.float64)
        classes = points.argmax(-1)
        ordered = np.partition(points, -2, axis=-1) if points.shape[-1] > 1 else np.repeat(points, 2, -1)
        spread = float((ordered[..., -1] - points.mean(-1)).mean())
        gap = float((ordered[..., -1] - ordered[..., -2]).mean())
        sure = gap / (gap + 1)
    cells = np.clip(classes, 0, MOST_CLASSES).astype(np.uint8)
    data: bytes = cells.tobytes()
    return _HEAD.pack(VERSION, round(sure * LEVELS), float(clipped(np.array(spread)))) + data


def _read(answer: bytes) -> tuple[float, float, ClassGrid]:
    """How sure an answer is, how far its largest numbers lie above the others, and its classes on the grid."""
    level, spread = head(_HEAD, answer, VERSION, "segmentation")
    cells = answer[_HEAD.size :]
    if len(cells) != GRID * GRID or not (math.isfinite(spread) and spread >= 0):
        raise MalformedMessage(f"{len(answer)} bytes are no reduced answer of segmentation")
    return level / LEVELS, spread, np.frombuffer(cells, np.uint8).astype(np.int64).reshape(GRID, GRID)


def _counts(one: ClassGrid, other: ClassGrid) -> tuple[SampleWeights, SampleWeights, SampleWeights]:
    """By class, at how many points both have it, either has it, and the other has it; what is not labelled is out."""
    a, b = one[other >= 0], other[other >= 0]
    of_one, of_other = np.bincount(a, minlength=CATEGORIES), np.bincount(b, minlength=CATEGORIES)
    both = np.bincount(a[a == b], minlength=CATEGORIES)
    return both.astype(np.float64), (of_one + of_other - both).astype(np.float64), of_other.astype(np.float64)


def _mean_iou(one: ClassGrid, other: ClassGrid) -> float:
    both, either, _ = _counts(one, other)
    return float((both[either > 0] / either[either > 0]).mean()) if either.any() else 1.0


def _most(grid: ClassGrid) -> int:
    return int(np.bincount(grid.ravel(), minlength=1).argmax())
