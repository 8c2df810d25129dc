"""Multilabel: any number of several classes, each with a probability of its own; also one class that is there or not.

A reduced answer is how large the outputs are, as the model gave them, and the classes of the largest probabilities:
all that reach their threshold, and more up to `KEPT`.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import CATEGORIES, LOGITS, PROBABILITIES, Spec
from edgefleet_tasks.arrays import (
    LEVELS,
    ListedRow,
    class_of,
    clipped,
    finite,
    floats_first,
    head,
    output_at,
    row_axis,
    rows_in,
    shown,
    whole_numbers_in,
)
from edgefleet_tasks.comparing import check_pairs, compared
from edgefleet_tasks.counting import OTHERS, class_name, commonest, strata_edges, stratum_of
from edgefleet_tasks.declaring import of_shares
from edgefleet_tasks.intervals import SampleWeights, bootstrapped
from edgefleet_tasks.task import UNDECLARED, Measure, Outputs, Refusal, RunComparison

VERSION = 1
KEPT, MOST_KEPT = 64, 1000
MAX_CLASSES = 2**16
THRESHOLD = 0.5
_HEAD, _ENTRY = struct.Struct("<BfHH"), struct.Struct("<HH")


@dataclass(frozen=True, slots=True)
class TopLevels:
    """A reduced answer, read: levels by class, whether any was left out, and the largest raw output."""

    size: float
    levels: dict[int, int]
    whole: bool

    @property
    def rest(self) -> float:
        """The largest probability that a class which is not listed can have."""
        return 0.0 if self.whole or not self.levels else min(self.levels.values()) / LEVELS

    def classes(self, spec: Spec) -> frozenset[int]:
        """The classes that reach their threshold."""
        return frozenset(c for c, level in self.levels.items() if level >= _needed(c, spec))


class Multilabel:
    """Any number of several classes."""

    name = "multilabel"
    measure = Measure("F1 of classes")
    headlined = Measure("micro F1")
    loss = "binary_cross_entropy"
    reads = frozenset({"read_from", "thresholds"})
    scores_alone = True
    reads_all = False

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """Whether an output is [samples, classes], with as many thresholds as classes, or one."""
        if (place := _place(signature, spec)) is None:
            answers = ", ".join(tensor.shown for tensor in signature.outputs) or "nothing"
            return Refusal(f"the model answers {answers}: a multilabel model answers [samples, classes]")
        found = signature.outputs[place].sample_size
        if spec.names and found and found != len(spec.names):
            return Refusal(f"{len(spec.names)} labels are named, but the model answers {found} classes: correct labels")
        if len(spec.thresholds) > 1 and found and found != len(spec.thresholds):
            return Refusal(f"{len(spec.thresholds)} thresholds for {found} classes: give one, or one for each")
        return None

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """Logits or probabilities: what is from 0 to 1 on all of val is the latter."""
        place = _place(signature, declared) or 0
        found = [_rows(outputs, place) for outputs in val]
        rows = np.concatenate(found) if found else np.empty((0, 1))
        shares = len(rows) > 0 and bool((rows >= 0).all() and (rows <= 1).all())
        spec = replace(
            declared,
            outputs=PROBABILITIES if shares else LOGITS,
            read_from=place,
            width=rows.shape[1] if len(rows) else declared.width,
            thresholds=declared.thresholds or (THRESHOLD,),
        )
        answers = [_read(answer) for answer in self._reduced(rows, spec)]
        first = commonest(top for one in answers if (top := _first(one, spec)) is not None)
        return replace(
            spec,
            strata=declared.strata or strata_edges([_margin(one, spec) for one in answers]),
            commonest=declared.commonest or first[: CATEGORIES - 2],
        )

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """Thresholds are probabilities: one, or one for each class."""
        return of_shares(declared.thresholds, found.classes)

    def label(self, raw: Any, spec: Spec) -> frozenset[int]:
        """Classes by number or name, or 0 and 1 for each class; 0 or 1 alone where there is one class.

        A row of an array is 0 and 1 for each class if it can be, one of unequally many entries a list of classes. Plain
        numbers that may be both are refused: data sets have other rows to tell by, an application has not.
        """
        if spec.classes == 1 and np.ndim(raw) == 0 and not isinstance(raw, str | np.str_):
            raw = [bool(raw) if raw in (0, 1) else raw]
        if raw is None or isinstance(raw, str | bytes) or np.ndim(raw) != 1:
            raise ValueError(f"a label is a list of classes, or of 0 and 1 for each class; not {shown(raw)}")
        entries = list(raw)
        if isinstance(raw, np.ndarray) and raw.dtype.kind == "b":
            entries = raw.astype(int).tolist()
        each = spec.classes and len(entries) == spec.classes and not isinstance(raw, ListedRow)
        if each and all(isinstance(one, bool) or one in (0, 1) for one in entries):
            if not isinstance(raw, np.ndarray) and _may_be_classes(entries, spec):
                raise ValueError(_two_meanings(entries, spec))
            return frozenset(np.flatnonzero(whole_numbers_in([int(one) for one in entries], "a label")).tolist())
        return frozenset(class_of(one, spec) for one in entries)

    def guessed_of(self, labels: NDArray[Any], spec: Spec) -> str | None:
        """Rows of 0 and 1, as many as classes, may also be lists of classes where each entry is one's number."""
        if labels.dtype.kind not in "iuf" or labels.ndim != 2 or labels.shape[1] != spec.classes or not len(labels):
            return None
        if not all(_may_be_classes(row.tolist(), spec) for row in labels):
            return None
        return (
            f"labels such as {[int(one) for one in labels[0]]} are taken as 0 and 1 for each of {spec.classes} "
            "class" + "es" * (spec.classes != 1) + ": give lists of classes as y_val/values with y_val/lengths"
        )

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """Size and top classes of each row."""
        return self._reduced(_rows(outputs, spec.read_from), spec)

    def _reduced(self, rows: NDArray[np.float64], spec: Spec) -> list[bytes]:
        sizes = clipped(np.abs(finite(rows)).max(1, initial=0)).tolist()
        levels = np.rint(_probabilities(rows, spec) * LEVELS).astype(np.int64)
        needed = np.array([_needed(c, spec) for c in range(rows.shape[1])])
        counts = np.clip((levels >= needed).sum(1), min(KEPT, rows.shape[1]), MOST_KEPT).tolist()
        # What reaches its threshold comes first: with thresholds of their own, not only the largest may.
        order = np.lexsort((-levels, levels < needed), axis=1)
        answers = []
        for row, found, count, size in zip(levels.tolist(), order.tolist(), counts, sizes, strict=True):
            entries = b"".join([_ENTRY.pack(c, row[c]) for c in found[:count]])
            answers.append(_HEAD.pack(VERSION, size, count, rows.shape[1] - count > 0) + entries)
        return answers

    def score(self, answer: bytes, label: frozenset[int], spec: Spec) -> float:
        """F1 of the classes."""
        return _f1(_read(answer).classes(spec), label)

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """F1 of the classes."""
        return _f1(_read(one).classes(spec), _read(other).classes(spec))

    def category(self, answer: bytes, spec: Spec) -> int:
        """0 without a class, else the most probable one's place among the commonest, or 255."""
        first = _first(_read(answer), spec)
        if first is None:
            return 0
        return 1 + spec.commonest.index(first) if first in spec.commonest else CATEGORIES - 1

    def category_name(self, category: int, spec: Spec) -> str:
        """The class by its name or number."""
        return "none" if category == 0 else class_name(category - 1 if category < OTHERS else OTHERS, spec)

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """By how far the nearest class is from its threshold."""
        return stratum_of(_margin(_read(answer), spec), spec)

    def headline(self, answers: Sequence[bytes], labels: Sequence[frozenset[int]], spec: Spec) -> Interval:
        """F1 of all classes of all samples together, with a bootstrapped interval."""
        found = [_read(answer).classes(spec) for answer in answers]
        both = np.array([len(a & b) for a, b in zip(found, labels, strict=True)], np.float64)
        all_of = np.array([len(a) + len(b) for a, b in zip(found, labels, strict=True)], np.float64)

        def figure(weights: SampleWeights) -> float:
            total = float(weights @ all_of)
            return 2 * float(weights @ both) / total if total else math.nan

        return bootstrapped(figure, len(found))

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """F1 of the classes, the largest difference of any probability, and the factor between the outputs."""
        check_pairs(found, recorded)
        return compared(
            [_read(one) for one in found],
            [_read(one) for one in recorded],
            lambda a, b: _f1(a.classes(spec), b.classes(spec)),
            _difference,
            lambda one: one.size,
        )


TASK = Multilabel()


def _may_be_classes(entries: Sequence[Any], spec: Spec) -> bool:
    """Whether 0 and 1 for each class may as well be the numbers of classes, each there once."""
    plain = not any(isinstance(one, bool) for one in entries)
    return plain and len(set(entries)) == len(entries) and all(0 <= one < spec.classes for one in entries)


def _two_meanings(entries: Sequence[Any], spec: Spec) -> str:
    for_each = ", ".join("true" if one else "false" for one in entries)
    listed = ", ".join(f'"{spec.names[int(one)] if spec.names else int(one)}"' for one in entries)
    return (
        f"{[int(one) for one in entries]} may be 0 and 1 for each class or a list of classes: "
        f"write [{for_each}] for the former, [{listed}] for the latter"
    )


def _place(signature: Signature, spec: Spec) -> int | None:
    places = floats_first(signature)
    if spec.read_from:
        places = [place for place in places if place[0] == spec.read_from]
    return next((n for n, tensor in places if _has_classes(tensor)), None)


def _has_classes(tensor: Tensor) -> bool:
    axis = row_axis(tensor)
    return not isinstance(axis, int) or 1 <= axis <= MAX_CLASSES


def _rows(outputs: Outputs, place: int) -> NDArray[np.float64]:
    values = output_at(outputs, place)
    rows = rows_in(values, least=1)
    if rows is None or rows.shape[1] > MAX_CLASSES or rows.dtype.kind not in "fiub":
        raise ValueError(f"a multilabel model answers [samples, classes], not {list(values.shape)}")
    return rows.astype(np.float64)


def _probabilities(values: NDArray[np.float64], spec: Spec) -> NDArray[np.float64]:
    if spec.outputs == PROBABILITIES:
        return np.clip(values, 0, 1)
    if spec.outputs != LOGITS:
        raise ValueError(f"a multilabel model gives {LOGITS} or {PROBABILITIES}, not '{spec.outputs}'")
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -500, 500))))


def _needed(c: int, spec: Spec) -> int:
    """The level that a class must reach."""
    thresholds = spec.thresholds or (THRESHOLD,)
    return round((thresholds[c] if len(thresholds) > 1 and c < len(thresholds) else thresholds[0]) * LEVELS)


def _read(answer: bytes) -> TopLevels:
    size, count, left_out = head(_HEAD, answer, VERSION, "multilabel")
    entries = dict(_ENTRY.iter_unpack(answer[_HEAD.size :])) if len(answer) == _HEAD.size + count * _ENTRY.size else {}
    if len(entries) != count or not (math.isfinite(size) and size >= 0) or left_out > 1:
        raise MalformedMessage("a reduced answer of multilabel contradicts itself")
    return TopLevels(size, entries, not left_out)


def _first(answer: TopLevels, spec: Spec) -> int | None:
    found = answer.classes(spec)
    return max(found, key=lambda c: (answer.levels[c], -c)) if found else None


def _margin(answer: TopLevels, spec: Spec) -> float:
    return min((abs(level - _needed(c, spec)) for c, level in answer.levels.items()), default=LEVELS) / LEVELS


def _f1(one: frozenset[int], other: frozenset[int]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


def _difference(one: TopLevels, other: TopLevels) -> float:
    """The largest difference of a probability; a class that one does not list has anything from 0 to its rest."""
    largest = 0.0
    for a, b in ((one, other), (other, one)):
        for c, level in a.levels.items():
            known = b.levels.get(c)
            gap = level / LEVELS - b.rest if known is None else abs(level - known) / LEVELS
            largest = max(largest, gap)
    return largest
