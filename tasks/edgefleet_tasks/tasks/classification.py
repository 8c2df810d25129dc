"""Classification: one class of several, with a probability for each.

A reduced answer is how far the largest output lies above the mean of all, as the model gave them, and the classes of
the largest probabilities, at most `TOP`, the largest first.
"""

import itertools
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import CATEGORIES, LOGITS, PROBABILITIES, STRATA, Spec
from edgefleet_tasks.arrays import class_of, floats_first, has_rows, is_finite, output_at, row_axis, rows_in
from edgefleet_tasks.comparing import check_pairs, scaling
from edgefleet_tasks.counting import category_of, class_name, commonest
from edgefleet_tasks.errors import AnswerNotFinite
from edgefleet_tasks.intervals import wilson
from edgefleet_tasks.task import UNDECLARED, Measure, Outputs, Refusal, RunComparison

TOP = 5
"""A tolerance of 1/5 or more loses nothing by it: only the top five can have a probability above that."""
SUM_TOLERANCE = 0.02
"""How far probabilities may be from summing to 1: those of an 8-bit file have steps of 1/256."""
_LEVELS = 2**16 - 1
_SPREAD, _ENTRY = struct.Struct(">f"), struct.Struct(">IH")
_FEW = 64
"""Up to so many classes sorting them all is quicker than to look for the largest first."""
_LARGEST = float(np.finfo(np.float32).max)


class TopClasses(NamedTuple):
    """A reduced answer, read: `probabilities` by class, the largest first, and the `spread` of the raw outputs."""

    spread: float
    probabilities: dict[int, float]

    @property
    def top(self) -> int:
        """The class of the largest probability."""
        return next(iter(self.probabilities))

    @property
    def rest(self) -> float:
        """The largest probability that a class which is not listed can have."""
        return max(0.0, min(min(self.probabilities.values()), 1 - sum(self.probabilities.values())))


class Classification:
    """One class of several."""

    name = "classification"
    measure = Measure("accuracy")
    headlined = Measure("accuracy")
    loss = "cross_entropy"
    reads = frozenset({"read_from"})
    scores_alone = True
    reads_all = False

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """Whether an output is [samples, classes], with two classes or more, all of them named or none."""
        if (place := _place(signature, spec)) is None:
            answers = ", ".join(tensor.shown for tensor in signature.outputs) or "nothing"
            return Refusal(f"the model answers {answers}: a classifier answers [samples, classes], two classes or more")
        found = row_axis(signature.outputs[place])
        if spec.names and isinstance(found, int) and found != len(spec.names):
            return Refusal(f"{len(spec.names)} labels are named, but the model answers {found} classes: correct labels")
        return None

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """Logits or probabilities: what sums to one on all of val is the latter. The commonest of many classes."""
        place = _place(signature, declared) or 0
        found = [_rows(outputs, place) for outputs in val]
        rows = np.concatenate(found) if found else np.empty((0, 2))
        many = rows.shape[1] >= CATEGORIES
        return replace(
            declared,
            outputs=PROBABILITIES if len(rows) and are_probabilities(rows) else LOGITS,
            read_from=place,
            commonest=commonest(rows.argmax(1).tolist()) if many else (),
        )

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """Which output is read is all that there is to say."""
        return None

    def label(self, raw: Any, spec: Spec) -> int:
        """A class by its number or name."""
        return class_of(raw, spec)

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """Spread and top classes of each row of an output, [samples, classes]."""
        values = _rows(outputs, spec.read_from).astype(np.float64, copy=False)
        largest, sums = values.max(1, keepdims=True), values.sum(1)
        # NaN and infinity make sums so, too: one pass less, since this is done at every request.
        if not np.isfinite(sums).all() and not is_finite(values):
            raise AnswerNotFinite("an answer is not finite")
        spreads = np.minimum(largest[:, 0] - sums / values.shape[1], _LARGEST)
        top = _top(values)
        listed = values[np.arange(len(top))[:, None], top]
        if spec.outputs == LOGITS:
            shares = np.exp(listed - largest) / np.exp(values - largest).sum(1, keepdims=True)
        else:
            shares = probabilities(listed, spec)
        layout = struct.Struct(_SPREAD.format + _ENTRY.format[1:] * top.shape[1])
        levels = np.rint(shares * _LEVELS).astype(int)
        entries = np.stack([top, levels], axis=2).reshape(len(top), 2 * top.shape[1])
        return [layout.pack(spread, *row) for spread, row in zip(spreads.tolist(), entries.tolist(), strict=True)]

    def score(self, answer: bytes, label: int, spec: Spec) -> float:
        """1 for the right class, else 0."""
        return float(read(answer).top == label)

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """1 for the same class, else 0."""
        return float(read(one).top == read(other).top)

    def category(self, answer: bytes, spec: Spec) -> int:
        """The class."""
        return category_of(read(answer).top, spec)

    def category_name(self, category: int, spec: Spec) -> str:
        """The class by its name or number."""
        return class_name(category, spec)

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """How often what the top class leaves over was halved: 0 below a half, 7 above 127/128."""
        first = read(answer)
        left = 1 - first.probabilities[first.top]
        return min(STRATA - 1, int(-math.log2(left))) if left > 0 else STRATA - 1

    def headline(self, answers: Sequence[bytes], labels: Sequence[int], spec: Spec) -> Interval:
        """The accuracy, with Wilson's interval."""
        hits = sum(read(answer).top == label for answer, label in zip(answers, labels, strict=True))
        return wilson(hits, len(answers))

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """Same classes, the largest difference of any probability, and the factor between the spreads."""
        check_pairs(found, recorded)
        pairs = [(read(a), read(b)) for a, b in zip(found, recorded, strict=True)]
        one, other = (sum(answer.spread for answer in side) for side in zip(*pairs, strict=True))
        return RunComparison(
            agreement=sum(a.top == b.top for a, b in pairs) / len(pairs),
            difference=max(_difference(a, b) for a, b in pairs),
            scaling=scaling(one, other),
        )


TASK = Classification()


def _place(signature: Signature, spec: Spec) -> int | None:
    """The output that has the classes: what the card says, or the first that may be."""
    places = floats_first(signature)
    if spec.read_from:
        places = [place for place in places if place[0] == spec.read_from]
    return next((n for n, tensor in places if has_rows(tensor)), None)


def _rows(outputs: Outputs, place: int) -> NDArray[Any]:
    """The output as [samples, classes], without axes of size 1.

    Raises:
        ValueError: it has another shape.
    """
    values = output_at(outputs, place) if len(outputs) else np.empty(0)
    rows = rows_in(values)
    if rows is None or rows.dtype.kind not in "fiub":
        raise ValueError(f"a classifier answers [samples, classes], not {list(values.shape)}")
    return rows


def _top(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The places of the largest values of each row, the largest first; of equal ones the first."""
    if values.shape[1] <= _FEW:
        return np.asarray(np.argsort(-values, axis=1, kind="stable")[:, :TOP])
    least = np.partition(values, -TOP, axis=1)[:, -TOP]
    found = np.empty((len(values), TOP), np.int64)
    for n, row in enumerate(values):
        (there,) = np.nonzero(row >= least[n])
        found[n] = there[np.argsort(-row[there], kind="stable")[:TOP]]
    return found


def are_probabilities(values: NDArray[Any]) -> bool:
    """Whether rows [samples, classes] are probabilities: none below 0, and every row sums to 1."""
    return bool((values >= 0).all() and np.abs(values.sum(1, dtype=np.float64) - 1).max(initial=0) <= SUM_TOLERANCE)


def probabilities(values: NDArray[Any], spec: Spec) -> NDArray[np.float64]:
    """The probabilities of a model's outputs [samples, classes]; what already are probabilities stays as it is.

    Raises:
        ValueError: the spec's kind of outputs is unknown.
    """
    values = np.asarray(values, np.float64)
    if spec.outputs == PROBABILITIES:
        return np.asarray(np.clip(values, 0, 1))
    if spec.outputs != LOGITS:
        raise ValueError(f"a classifier gives {LOGITS} or {PROBABILITIES}, not '{spec.outputs[:60]}'")
    powers = np.exp(values - values.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def read(answer: bytes) -> TopClasses:
    """A reduced answer, read.

    Raises:
        MalformedMessage: the bytes are not one.
    """
    entries = answer[_SPREAD.size :]
    if not entries or len(entries) % _ENTRY.size or len(entries) > TOP * _ENTRY.size:
        raise MalformedMessage(f"{len(answer)} bytes are no reduced answer of a classifier")
    (spread,) = _SPREAD.unpack_from(answer)
    listed = [(c, level / _LEVELS) for c, level in _ENTRY.iter_unpack(entries)]
    falling = all(a[1] >= b[1] for a, b in itertools.pairwise(listed))
    if not (math.isfinite(spread) and spread >= 0 and falling and len(dict(listed)) == len(listed)):
        raise MalformedMessage("a reduced answer of a classifier contradicts itself")
    return TopClasses(spread, dict(listed))


def _difference(one: TopClasses, other: TopClasses) -> float:
    """The largest difference of a probability; a class that one does not list has anything from 0 to its rest."""
    largest = 0.0
    for a, b in ((one, other), (other, one)):
        for c, share in a.probabilities.items():
            known = b.probabilities.get(c)
            largest = max(largest, share - b.rest if known is None else abs(share - known))
    return largest
