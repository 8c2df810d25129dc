"""Classification: one class of several, with a probability for each.

A reduced answer is how far the largest output lies above the mean of all, as the model gave them, and the classes of
the largest probabilities, at most `TOP`, the largest first.
"""

import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import LOGITS, PROBABILITIES, Spec
from edgefleet_tasks.task import Label, Outputs, Refusal, RunComparison

TOP = 5
"""A tolerance of 1/5 or more loses nothing by it: only the top five can have a probability above that."""
STRATA = 8
MAX_SCALING = 1e9
"""Where one run's answers are all alike and the other's are not."""
SUM_TOLERANCE = 0.02
"""How far probabilities may be from summing to 1: those of an 8-bit file have steps of 1/256."""
_LEVELS = 2**16 - 1
_SPREAD, _ENTRY = struct.Struct(">f"), struct.Struct(">IH")
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

    def fits(self, signature: Signature, labels: Sequence[str]) -> Refusal | None:
        """Whether the first output is [samples, classes], with two classes or more, all of them named or none."""
        shape = signature.outputs[0].shape if signature.outputs else ()
        if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] < 2):
            shown = ", ".join("any" if size is None else str(size) for size in shape)
            return Refusal(f"the model answers [{shown}]: a classifier answers [samples, classes], two classes or more")
        if labels and isinstance(shape[1], int) and shape[1] != len(labels):
            return Refusal(f"{len(labels)} labels are named, but the model answers {shape[1]} classes: correct labels")
        return None

    def spec(self, signature: Signature, val: Outputs) -> Spec:
        """Logits or probabilities: what sums to one on all of val is the latter."""
        return Spec(PROBABILITIES if are_probabilities(val[0]) else LOGITS)

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """Spread and top classes of each row of the first output, [samples, classes]."""
        values = np.asarray(outputs[0], np.float64) if len(outputs) else np.empty(0)
        if values.ndim != 2 or values.shape[1] < 2:
            raise ValueError(f"a classifier answers [samples, classes], not {list(values.shape)}")
        if not np.isfinite(values).all():
            raise ValueError("an answer is not finite")
        spreads = np.minimum(values.max(1) - values.mean(1), _LARGEST)
        shares = probabilities(values, spec)
        top = np.argsort(-values, axis=1, kind="stable")[:, :TOP]
        levels = np.rint(np.take_along_axis(shares, top, 1) * _LEVELS).astype(int)
        return [
            _SPREAD.pack(spread) + b"".join(_ENTRY.pack(c, level) for c, level in zip(row, found, strict=True))
            for spread, row, found in zip(spreads.tolist(), top.tolist(), levels.tolist(), strict=True)
        ]

    def score(self, answer: bytes, label: Label, spec: Spec) -> float:
        """1 for the right class, else 0."""
        return float(read(answer).top == label)

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """1 for the same class, else 0."""
        return float(read(one).top == read(other).top)

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """How often what the top class leaves over was halved: 0 below a half, 7 above 127/128."""
        first = read(answer)
        left = 1 - first.probabilities[first.top]
        return min(STRATA - 1, int(-math.log2(left))) if left > 0 else STRATA - 1

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """Same classes, the largest difference of any probability, and the factor between the spreads."""
        if len(found) != len(recorded) or not recorded:
            raise ValueError(f"{len(found)} answers were given, {len(recorded)} are recorded")
        pairs = [(read(a), read(b)) for a, b in zip(found, recorded, strict=True)]
        small, large = sorted(sum(answer.spread for answer in side) for side in zip(*pairs, strict=True))
        return RunComparison(
            agreement=sum(a.top == b.top for a, b in pairs) / len(pairs),
            difference=max(_difference(a, b) for a, b in pairs),
            scaling=min(large / small, MAX_SCALING) if small > 0 else 1.0 if large == small else MAX_SCALING,
        )


TASK = Classification()


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
