"""Embedding: a direction among many numbers, which lies near those of what is alike.

A reduced answer is how long the vector is, and its direction as float16; of more than `KEPT` numbers, sums of them with
fixed signs (a count sketch), which keep angles.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import CATEGORIES, Spec
from edgefleet_tasks.arrays import (
    Numbers,
    class_of,
    clipped,
    finite,
    floats_first,
    has_rows,
    head,
    is_finite,
    output_at,
    rows_in,
)
from edgefleet_tasks.comparing import check_pairs, compared
from edgefleet_tasks.counting import strata_edges, stratum_of
from edgefleet_tasks.errors import NotScored
from edgefleet_tasks.intervals import wilson
from edgefleet_tasks.task import UNDECLARED, Measure, Outputs, Refusal, RunComparison

VERSION = 1
KEPT = 2000
AT_ONCE = 256
"""Of so many samples, the nearest others are sought at a time."""
_HEAD = struct.Struct("<BIf")


@dataclass(frozen=True, slots=True)
class UnitVector:
    """A reduced answer, read: how many numbers there were, how long the vector is, and where it points."""

    total: int
    length: float
    unit: Numbers


class Embedding:
    """A direction."""

    name = "embedding"
    measure = Measure("similarity")
    headlined = Measure("recall@1")
    loss = "cosine"
    reads = frozenset({"read_from"})
    scores_alone = False
    reads_all = False

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """Whether an output is [samples, numbers], with two numbers or more."""
        if _place(signature, spec) is None:
            answers = ", ".join(tensor.shown for tensor in signature.outputs) or "nothing"
            told = "an embedding is [samples, numbers]: pool it in the graph, or name the task 'outputs'"
            return Refusal(f"the model answers {answers}: {told}")
        return None

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """Strata by how far one number stands out."""
        place = _place(signature, declared) or 0
        placed = replace(declared, read_from=place)
        answers = [_read(answer) for outputs in val for answer in self.reduce(outputs, placed)]
        width = {one.total for one in answers}
        return replace(
            placed,
            width=declared.width or (width.pop() if len(width) == 1 else 0),
            strata=declared.strata or strata_edges([_peak(one) for one in answers]),
        )

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """Which output is read is all that there is to say."""
        return None

    def label(self, raw: Any, spec: Spec) -> int:
        """Who or what it is, as a number: samples of one number belong together."""
        return class_of(raw, replace(spec, width=0, names=()))

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """Length and direction of each row."""
        given = output_at(outputs, spec.read_from)
        if (values := rows_in(given)) is None:
            raise ValueError(f"an embedding is [samples, numbers], not {list(given.shape)}")
        rows = _folded(finite(values).astype(np.float64))
        largest = np.abs(rows).max(1, keepdims=True, initial=0)
        rows = rows / np.where(largest > 0, largest, 1)  # so that no square is too large
        lengths = np.sqrt((rows * rows).sum(1, keepdims=True))
        units = (rows / np.where(lengths > 0, lengths, 1)).astype("<f2")
        sizes = clipped((lengths * largest)[:, 0]).tolist()
        return [
            _HEAD.pack(VERSION, values.shape[1], size) + unit.tobytes() for size, unit in zip(sizes, units, strict=True)
        ]

    def score(self, answer: bytes, label: int, spec: Spec) -> float:
        """A single embedding is neither right nor wrong."""
        raise NotScored("an embedding alone has no score: it is judged by what lies nearest, over a whole split")

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """(1 + cosine) / 2."""
        return _agree(_read(one), _read(other))

    def category(self, answer: bytes, spec: Spec) -> int:
        """The place of the number that stands out most, modulo 256."""
        return int(np.abs(_read(answer).unit).argmax()) % CATEGORIES

    def category_name(self, category: int, spec: Spec) -> str:
        """The place of the number."""
        return f"axis {category}"

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """How far one number stands out."""
        return stratum_of(_peak(_read(answer)), spec)

    def headline(self, answers: Sequence[bytes], labels: Sequence[int], spec: Spec) -> Interval:
        """How often the nearest other sample is of the same identity, for samples that have such; Wilson's interval."""
        who = np.asarray(labels, np.int64)
        alone = np.array([int((who == one).sum()) < 2 for one in who], bool)
        if alone.all():
            raise NotScored("retrieval needs two samples or more of one identity: give labels that repeat")
        units = np.stack([_read(answer).unit.astype(np.float32) for answer in answers])
        hits = (who[_nearest(units)] == who)[~alone]
        return wilson(int(hits.sum()), len(hits))

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """How alike directions are, the largest difference of a number in one, and the factor between lengths."""
        check_pairs(found, recorded)
        return compared(
            [_read(one) for one in found],
            [_read(one) for one in recorded],
            _agree,
            lambda a, b: float(np.abs(a.unit - b.unit).max()) if a.total == b.total else 1.0,
            lambda one: one.length,
        )


TASK = Embedding()


def _place(signature: Signature, spec: Spec) -> int | None:
    places = floats_first(signature)
    if spec.read_from:
        places = [place for place in places if place[0] == spec.read_from]
    return next((n for n, tensor in places if has_rows(tensor)), None)


def _folded(rows: Numbers) -> Numbers:
    """At most `KEPT` numbers of each row."""
    width = rows.shape[1]
    if width <= KEPT:
        return rows
    padded = np.zeros((len(rows), -(-width // KEPT) * KEPT))
    padded[:, :width] = rows * _signs(width)
    return np.asarray(padded.reshape(len(rows), -1, KEPT).sum(1))


@lru_cache(maxsize=8)
def _signs(width: int) -> NDArray[np.float64]:
    """A fixed sign for each number, as random as their places allow (the finalizer of splitmix64)."""
    bits = np.arange(1, width + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(1.0 - 2.0 * ((bits >> np.uint64(40)) & np.uint64(1)).astype(np.float64))


def _read(answer: bytes) -> UnitVector:
    total, length = head(_HEAD, answer, VERSION, "embedding")
    data = answer[_HEAD.size :]
    if total < 2 or len(data) != 2 * min(total, KEPT) or not (math.isfinite(length) and length >= 0):
        raise MalformedMessage(f"{len(answer)} bytes are no reduced answer of embedding")
    unit = np.frombuffer(data, "<f2").astype(np.float64)
    if not is_finite(unit):
        raise MalformedMessage("a reduced answer of embedding is not finite")
    norm = math.sqrt(unit @ unit)
    return UnitVector(total, length, unit / norm if norm else unit)


def _nearest(units: NDArray[np.float32]) -> NDArray[np.int64]:
    """The place of the nearest other vector of each, some at a time: all angles of a large split fill the memory."""
    found = np.empty(len(units), np.int64)
    for start in range(0, len(units), AT_ONCE):
        near = units[start : start + AT_ONCE] @ units.T
        rows = np.arange(len(near))
        near[rows, start + rows] = -np.inf
        found[start : start + AT_ONCE] = near.argmax(1)
    return found


def _agree(one: UnitVector, other: UnitVector) -> float:
    if one.total != other.total:
        return 0.0
    if not one.unit.any() and not other.unit.any():
        return 1.0
    return min(1.0, max(0.0, (1 + float(one.unit @ other.unit)) / 2))


def _peak(answer: UnitVector) -> float:
    return float(np.abs(answer.unit).max(initial=0))
