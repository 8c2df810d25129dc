"""Regression: one or more numbers, each with a scale that says which error is a wholly wrong answer.

A reduced answer is the numbers as float32; of more than `KEPT`, as many that lie evenly among them.
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
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.arrays import Numbers, clipped, finite, floats_first, head, numbers_in, output_at, shown
from edgefleet_tasks.comparing import check_pairs, compared
from edgefleet_tasks.counting import BINS, bin_name, bin_of, quantile_edges, strata_edges, stratum_of
from edgefleet_tasks.declaring import of_edges, of_scales
from edgefleet_tasks.errors import NotScored
from edgefleet_tasks.intervals import SampleWeights, bootstrapped
from edgefleet_tasks.scaling import kept_of, scales_of, wrongness
from edgefleet_tasks.task import UNDECLARED, Measure, Outputs, Refusal, RunComparison

VERSION = 1
KEPT = 1000
MOST_SCALES = 64
"""Up to so many numbers have a scale each; more share one."""
_HEAD = struct.Struct("<BI")


class Regression:
    """Numbers."""

    name = "regression"
    measure = Measure("closeness")
    headlined = Measure("R²", unit="number")
    loss = "smooth_l1"
    reads = frozenset({"read_from", "thresholds", "scale"})
    scores_alone = True
    reads_all = False

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """Whether an output holds numbers."""
        if _place(signature, spec) is None:
            answers = ", ".join(f"{one.datatype} {one.shown}" for one in signature.outputs) or "nothing"
            return Refusal(f"the model answers {answers}: a regressor answers numbers, [samples] or [samples, numbers]")
        return None

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """The scale of each number: how far its 5th and its 95th percentile on val are apart."""
        place = _place(signature, declared) or 0
        rows = [row for outputs in val for row in _rows(outputs, place)]
        widths = {len(row) for row in rows}
        width = widths.pop() if len(widths) == 1 else 0
        means = [float(kept_of(row, KEPT).mean()) for row in rows if len(row)]
        each = np.stack(rows) if 0 < width <= MOST_SCALES else np.concatenate([*rows, np.empty(0)])[:, None]
        return replace(
            declared,
            read_from=place,
            width=declared.width or width,
            scale=declared.scale or scales_of(each),
            thresholds=declared.thresholds or quantile_edges(means, BINS),
            strata=declared.strata or strata_edges(means),
        )

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """Thresholds rise; there is one scale, or one for each number."""
        each = found.width if found.width <= KEPT else 0
        return of_edges(declared.thresholds) or of_scales(declared.scale, each, "numbers", one_for_all=True)

    def label(self, raw: Any, spec: Spec) -> Numbers:
        """A number, or as many as the model answers."""
        if raw is None or isinstance(raw, bool):
            raise ValueError(f"a label is {spec.width or 'one or more'} numbers; not {shown(raw)}")
        values = numbers_in(raw, "a label").ravel()
        if not len(values) or (spec.width and len(values) != spec.width):
            raise ValueError(f"a label is {spec.width or 'one or more'} numbers; not {len(values)}")
        return values

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """The numbers of each sample."""
        return [
            _HEAD.pack(VERSION, len(row)) + clipped(kept_of(row, KEPT)).tobytes()
            for row in _rows(outputs, spec.read_from)
        ]

    def score(self, answer: bytes, label: Numbers, spec: Spec) -> float:
        """1 without any error, 0 where each is its scale or more; the mean over the numbers."""
        total, values = _read(answer)
        return _closeness(values, kept_of(label, KEPT), spec) if total == len(label) else 0.0

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """As the score, with another answer in place of the label."""
        return _agree(_read(one), _read(other), spec)

    def category(self, answer: bytes, spec: Spec) -> int:
        """Which of the sixteenths of val the mean number is in."""
        return bin_of(float(_read(answer)[1].mean()), spec)

    def category_name(self, category: int, spec: Spec) -> str:
        """The numbers of the sixteenth."""
        return bin_name(category, spec)

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """Which of the eighths of val the mean number is in: a regressor does not say how sure it is."""
        return stratum_of(float(_read(answer)[1].mean()), spec)

    def headline(self, answers: Sequence[bytes], labels: Sequence[Numbers], spec: Spec) -> Interval:
        """R², the mean over the numbers that differ between samples, with a bootstrapped interval."""
        found = [_read(answer)[1] for answer in answers]
        truth = [kept_of(label, KEPT) for label in labels]
        if len({len(row) for row in (*found, *truth)}) != 1 or len(found) != len(truth):
            raise NotScored("R² needs as many numbers in each answer and label, and a label for each answer")
        answered, wanted = np.stack(found), np.stack(truth)

        def figure(weights: SampleWeights) -> float:
            mean = weights @ wanted / weights.sum()
            spread = weights @ (wanted - mean) ** 2
            error = weights @ (wanted - answered) ** 2
            differs = spread > 1e-12 * np.maximum(weights @ wanted**2, 1e-300)
            return float((1 - error[differs] / spread[differs]).mean()) if differs.any() else float("nan")

        return bootstrapped(figure, len(found))

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """How close the numbers are, the largest error in scales, and the factor between them."""
        check_pairs(found, recorded)
        return compared(
            [_read(one) for one in found],
            [_read(one) for one in recorded],
            lambda a, b: _agree(a, b, spec),
            lambda a, b: float(wrongness(a[1], b[1], spec.scale).max(initial=0)) if a[0] == b[0] else 1.0,
            lambda one: float(np.abs(one[1]).mean()),
        )


TASK = Regression()


def _place(signature: Signature, spec: Spec) -> int | None:
    places = floats_first(signature)
    if spec.read_from:
        places = [place for place in places if place[0] == spec.read_from]
    return next((n for n, tensor in places if tensor.sample_size != 0), None)


def _rows(outputs: Outputs, place: int) -> list[NDArray[Any]]:
    """The numbers of each sample.

    Raises:
        ValueError: there is no sample axis, or there are no numbers.
    """
    values = output_at(outputs, place)
    if values.ndim < 1 or 0 in values.shape[1:]:
        raise ValueError(f"a regressor answers [samples] or [samples, numbers], not {list(values.shape)}")
    return list(finite(values).reshape(len(values), math.prod(values.shape[1:])))


def _read(answer: bytes) -> tuple[int, Numbers]:
    """How many numbers there were, and those that are kept."""
    (total,) = head(_HEAD, answer, VERSION, "regression")
    data = answer[_HEAD.size :]
    if not total or len(data) != 4 * min(total, KEPT):
        raise MalformedMessage(f"{len(data)} bytes are no {total} numbers of regression")
    values = np.frombuffer(data, "<f4").astype(np.float64)
    if not np.isfinite(values).all():
        raise MalformedMessage("a reduced answer of regression is not finite")
    return total, values


def _agree(one: tuple[int, Numbers], other: tuple[int, Numbers], spec: Spec) -> float:
    return _closeness(one[1], other[1], spec) if one[0] == other[0] else 0.0


def _closeness(one: Numbers, other: Numbers, spec: Spec) -> float:
    return 1 - float(wrongness(one, other, spec.scale).mean())
