"""Outputs: anything at all, compared number by number; there are no labels.

A reduced answer is, for each output, how many numbers it has and as many of them as there is room for, evenly among
all. Floats are compared by a scale; whole numbers, truth values and texts are the same or not.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.answers import MAX_ANSWER_BYTES
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import MAX_TENSORS, Signature
from edgefleet_protocol.spec import CATEGORIES, Spec
from edgefleet_tasks.arrays import clipped, finite
from edgefleet_tasks.comparing import check_pairs, compared
from edgefleet_tasks.counting import BINS, bin_name, bin_of, quantile_edges, strata_edges, stratum_of
from edgefleet_tasks.declaring import of_edges, of_scales
from edgefleet_tasks.errors import NotScored
from edgefleet_tasks.scaling import kept_of, scales_of, wrongness
from edgefleet_tasks.task import UNDECLARED, Measure, Outputs, Refusal, RunComparison

VERSION = 1
_HEAD, _PART = struct.Struct("<BH"), struct.Struct("<cI")
FLOAT, EXACT = b"f", b"i"


class OutputPart(NamedTuple):
    """One output of a sample: how many values it has, and those that are kept."""

    kind: bytes
    total: int
    values: NDArray[Any]


class AnyOutputs:
    """Anything."""

    name = "outputs"
    measure = Measure("closeness")
    headlined = Measure("closeness")
    loss = "scaled_error"
    reads = frozenset({"thresholds", "scale"})
    scores_alone = False
    reads_all = True

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """Whether the model answers anything."""
        return (
            None if signature.outputs else Refusal("the model has no output: there is nothing that could be compared")
        )

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """The scale of each output: how far its 5th and its 95th percentile on val are apart."""
        samples = [_read(answer) for outputs in val for answer in self.reduce(outputs, declared)]
        columns = [np.concatenate([sample[n].values for sample in samples]) for n in range(_fewest(samples))]
        kinds = [samples[0][n].kind for n in range(len(columns))]
        means = [_mean(sample) for sample in samples]
        return replace(
            declared,
            scale=declared.scale
            or tuple(
                scales_of(column[:, None].astype(np.float64))[0] if kind == FLOAT else 1.0
                for column, kind in zip(columns, kinds, strict=True)
            ),
            thresholds=declared.thresholds or quantile_edges(means, BINS),
            strata=declared.strata or strata_edges(means),
        )

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """Thresholds rise; there is a scale for each output."""
        outputs = len(signature.outputs)
        return of_edges(declared.thresholds) or of_scales(declared.scale, outputs, "outputs", one_for_all=outputs == 1)

    def label(self, raw: Any, spec: Spec) -> NoReturn:
        """There are no labels."""
        raise NotScored("the task 'outputs' has no labels: name another task with --task to score answers")

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """The numbers of each output of each sample."""
        arrays = [np.asarray(one) for one in outputs]
        if not arrays or any(one.ndim < 1 for one in arrays) or len({len(one) for one in arrays}) != 1:
            shapes = ", ".join(str(list(one.shape)) for one in arrays) or "nothing"
            raise ValueError(f"each output is [samples, ...], with as many samples; not {shapes}")
        room = (MAX_ANSWER_BYTES - _HEAD.size) // len(arrays) - _PART.size
        parts = [_packed(one, room // 4) for one in arrays]
        return [_HEAD.pack(VERSION, len(arrays)) + b"".join(of_sample) for of_sample in zip(*parts, strict=True)]

    def score(self, answer: bytes, label: Any, spec: Spec) -> float:
        """There are no labels."""
        raise NotScored("the task 'outputs' has no labels: only agreement is known")

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """The mean over the outputs: of floats 1 less the error in scales, of all else the share that is the same."""
        return _agree(_read(one), _read(other), spec)

    def category(self, answer: bytes, spec: Spec) -> int:
        """Which of the sixteenths of val the mean number is in."""
        return bin_of(_mean(_read(answer)), spec) % CATEGORIES

    def category_name(self, category: int, spec: Spec) -> str:
        """The numbers of the sixteenth."""
        return bin_name(category, spec)

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """Which of the eighths of val the mean number is in."""
        return stratum_of(_mean(_read(answer)), spec)

    def headline(self, answers: Sequence[bytes], labels: Sequence[Any], spec: Spec) -> Interval:
        """There are no labels."""
        raise NotScored("the task 'outputs' has no labels: only agreement is known")

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """How close the outputs are, the largest error in scales, and the factor between the floats."""
        check_pairs(found, recorded)
        return compared(
            [_read(one) for one in found],
            [_read(one) for one in recorded],
            lambda a, b: _agree(a, b, spec),
            lambda a, b: max(_wrong(a, b, spec)[1], default=1.0),
            lambda sample: sum(float(np.abs(one.values).mean()) for one in sample if one.kind == FLOAT and one.total),
        )


TASK = AnyOutputs()


def _packed(output: NDArray[Any], room: int) -> list[bytes]:
    """One output of each sample, in at most `room` values."""
    rows = output.reshape(len(output), output.size // len(output)) if len(output) else output.reshape(0, 0)
    if output.dtype.kind == "f":
        finite(output)
        kept = [clipped(kept_of(row, room)).tobytes() for row in rows]
        return [_PART.pack(FLOAT, rows.shape[1]) + values for values in kept]
    picked = [_picked(row, room) for row in rows]
    if output.dtype.kind in "iub":
        kept = [row.astype(np.int64).astype("<u4").tobytes() for row in picked]
    else:
        kept = [np.array([_checksum(one) for one in row], "<u4").tobytes() for row in picked]
    return [_PART.pack(EXACT, rows.shape[1]) + values for values in kept]


def _picked(row: NDArray[Any], most: int) -> NDArray[Any]:
    return row if len(row) <= most else row[np.arange(most) * len(row) // most]


def _checksum(text: Any) -> int:
    return zlib.crc32(text if isinstance(text, bytes) else str(text).encode())


def _read(answer: bytes) -> list[OutputPart]:
    if len(answer) < _HEAD.size or answer[0] != VERSION:
        raise MalformedMessage(f"{len(answer)} bytes are no reduced answer of outputs")
    _, count = _HEAD.unpack_from(answer)
    if not 1 <= count <= MAX_TENSORS:
        raise MalformedMessage(f"a reduced answer claims {count} outputs")
    room = ((MAX_ANSWER_BYTES - _HEAD.size) // count - _PART.size) // 4
    parts, at = [], _HEAD.size
    for _ in range(count):
        if at + _PART.size > len(answer):
            raise MalformedMessage("a reduced answer of outputs ends too early")
        kind, total = _PART.unpack_from(answer, at)
        at += _PART.size
        end = at + 4 * min(total, room)
        if kind not in (FLOAT, EXACT) or end > len(answer):
            raise MalformedMessage("a reduced answer of outputs contradicts itself")
        values = np.frombuffer(answer[at:end], "<f4" if kind == FLOAT else "<u4")
        if kind == FLOAT and not np.isfinite(values).all():
            raise MalformedMessage("a reduced answer of outputs is not finite")
        parts.append(OutputPart(kind, total, values.astype(np.float64) if kind == FLOAT else values))
        at = end
    if at != len(answer):
        raise MalformedMessage(f"{len(answer) - at} bytes follow a reduced answer of outputs")
    return parts


def _fewest(samples: list[list[OutputPart]]) -> int:
    return min(map(len, samples), default=0)


def _mean(sample: list[OutputPart]) -> float:
    """The mean number of the first output of floats, or else of the first one."""
    filled = sorted((one for one in sample if one.total), key=lambda one: one.kind != FLOAT)
    return float(filled[0].values.mean()) if filled else 0.0


def _wrong(one: list[OutputPart], other: list[OutputPart], spec: Spec) -> tuple[list[float], list[float]]:
    """The mean and the largest error of each output, from 0 to 1."""
    means, largest = [], []
    for n, (a, b) in enumerate(zip(one, other, strict=True)):
        if (a.kind, a.total) != (b.kind, b.total):
            errors = np.ones(1)
        elif not a.total:
            errors = np.zeros(1)
        elif a.kind == FLOAT:
            errors = wrongness(a.values, b.values, spec.scale[n : n + 1])
        else:
            errors = (a.values != b.values).astype(np.float64)
        means.append(float(errors.mean()))
        largest.append(float(errors.max()))
    return means, largest


def _agree(one: list[OutputPart], other: list[OutputPart], spec: Spec) -> float:
    if len(one) != len(other):
        return 0.0
    means, _ = _wrong(one, other, spec)
    return 1 - sum(means) / len(means)
