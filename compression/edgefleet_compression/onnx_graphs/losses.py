"""How much the answers of a file have changed, by the loss that its task is trained with. 0 is not at all."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.onnx_graphs.answers import difference
from edgefleet_compression.onnx_graphs.session import Answered
from edgefleet_protocol.spec import LOGITS, PROBABILITIES, BoxReading, Spec
from edgefleet_tasks.boxes import box_scores, columns_read
from edgefleet_tasks.task import Outputs

LEAST_PROBABILITY = 1e-12
WHOLLY = 1.0
"""What counts for an answer of another shape than before: as much as numbers that are off by their whole scale."""
Doubles = NDArray[np.float64]
Pairs = Sequence[tuple[Outputs, Outputs]]
"""The outputs to a sample before and after, the one that has the answers first."""


def loss_between(kind: str, before: Answered, after: Answered, spec: Spec) -> float:
    """The mean loss of `after` against `before`.

    Args:
        kind: the task's `loss`; one that is not known here counts as the scaled error.
        before: the answers that are right.
        after: as many others.
        spec: how they are meant.
    """
    pairs: Pairs = list(zip(_read(before, spec), _read(after, spec), strict=True))
    if spec.boxes is not None:
        pairs = _of_boxes_that_count(pairs, before, spec, spec.boxes)
    return LOSSES.get(kind, scaled_error)(pairs, spec) if pairs else 0.0


def cross_entropy(pairs: Pairs, spec: Spec) -> float:
    """The Kullback-Leibler divergence in nats, over all places of a map or steps of a sequence; without logits, the
    share of classes that differ."""
    return _mean(_divergence(a[0], b[0], spec) for a, b in pairs)


def binary_cross_entropy(pairs: Pairs, spec: Spec) -> float:
    """The Kullback-Leibler divergence of each class's own probability, in nats."""
    return _mean(_binary_divergence(a[0], b[0], spec) for a, b in pairs)


def cosine(pairs: Pairs, spec: Spec) -> float:
    """1 less the cosine of the angle between two vectors."""
    return _mean(1 - _cosine(a[0], b[0]) for a, b in pairs)


def scaled_error(pairs: Pairs, spec: Spec) -> float:
    """The mean squared error of every float output by the spread of its numbers, and what differs of the others."""
    return _mean(_scaled([a[n] for a, _ in pairs], [b[n] for _, b in pairs]) for n in range(len(pairs[0][0])))


LOSSES: Mapping[str, Callable[[Pairs, Spec], float]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "cosine": cosine,
    "smooth_l1": scaled_error,
    "scaled_error": scaled_error,
}


def _mean(losses: Iterable[float]) -> float:
    return max(0.0, float(np.mean(list(losses))))


def _divergence(exact: NDArray[Any], changed: NDArray[Any], spec: Spec) -> float:
    if exact.shape != changed.shape:
        return WHOLLY
    axis = _class_axis(exact, spec)
    if axis is None:
        return float((exact != changed).mean())
    p, q = (_log_probabilities(one, axis, spec) for one in (exact, changed))
    return float((np.exp(p) * (p - q)).sum(axis).mean())


def _binary_divergence(exact: NDArray[Any], changed: NDArray[Any], spec: Spec) -> float:
    if exact.shape != changed.shape:
        return WHOLLY
    p, q = (_shares(one, spec) for one in (exact, changed))
    there, not_there = p * (np.log(p) - np.log(q)), (1 - p) * (np.log1p(-p) - np.log1p(-q))
    return float((there + not_there).mean())


def _cosine(exact: NDArray[Any], changed: NDArray[Any]) -> float:
    a, b = (one.astype(np.float64).reshape(-1) for one in (exact, changed))
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b)) if a.shape == b.shape else 0.0
    return float(a @ b) / lengths if lengths else 1 - WHOLLY


def _read(answers: Answered, spec: Spec) -> list[Outputs]:
    """The output that has the answers first, and then the others; of a detector what is read of its boxes, each apart.

    Scores up to one would count for nothing beside coordinates up to hundreds.
    """
    if spec.boxes is not None:
        return [[columns[np.newaxis] for columns in columns_read(outputs, 0, spec.boxes)] for outputs in answers]
    found: list[Outputs] = []
    for outputs in answers:
        first = min(spec.read_from, len(outputs) - 1)
        found.append([outputs[first], *(output for place, output in enumerate(outputs) if place != first)])
    return found


def _of_boxes_that_count(pairs: Pairs, before: Answered, spec: Spec, reading: BoxReading) -> Pairs:
    """Only the boxes whose score reached the threshold before: a few of the thousands that a detector gives.

    All of them, where none counts in any sample.
    """
    floor = spec.thresholds[0] if spec.thresholds else 0.0
    counting = [np.flatnonzero(box_scores(outputs, 0, spec, reading) >= floor) for outputs in before]
    if not any(len(rows) for rows in counting):
        return pairs

    def of(pair: tuple[Outputs, Outputs], rows: NDArray[np.intp]) -> tuple[Outputs, Outputs]:
        if any(a.shape != b.shape for a, b in zip(*pair, strict=True)):
            return pair  # as many boxes as were found, and no row of one is that of the other
        return [a[:, rows] for a in pair[0]], [b[:, rows] for b in pair[1]]

    return [of(pair, rows) for pair, rows in zip(pairs, counting, strict=True)]


def _class_axis(values: NDArray[Any], spec: Spec) -> int | None:
    """The axis of the classes of an answer [1, ...]; None if they are numbers of classes."""
    if values.dtype.kind != "f" or values.ndim < 2:
        return None
    fitting = [axis for axis in range(1, values.ndim) if values.shape[axis] == spec.classes]
    return fitting[0] if fitting else 1 if values.ndim != 3 else 2


def _log_probabilities(values: NDArray[Any], axis: int, spec: Spec) -> Doubles:
    exact = values.astype(np.float64)
    if spec.outputs == PROBABILITIES:
        return np.asarray(np.log(np.maximum(exact, LEAST_PROBABILITY)))
    above = exact - exact.max(axis, keepdims=True)
    found = above - np.log(np.exp(above).sum(axis, keepdims=True))
    return np.asarray(np.maximum(found, math.log(LEAST_PROBABILITY)))


def _shares(values: NDArray[Any], spec: Spec) -> Doubles:
    exact = values.astype(np.float64)
    found = 1 / (1 + np.exp(-np.clip(exact, -60, 60))) if spec.outputs == LOGITS else exact
    return np.asarray(np.clip(found, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))


def _scaled(before: Sequence[NDArray[Any]], after: Sequence[NDArray[Any]]) -> float:
    """One output of all samples."""
    alike = [(a, b) for a, b in zip(before, after, strict=True) if a.shape == b.shape and a.size]
    other = sum(a.shape != b.shape for a, b in zip(before, after, strict=True)) * WHOLLY
    if not alike or alike[0][0].dtype.kind != "f":
        return (other + sum(float((a != b).mean()) for a, b in alike)) / len(before)
    numbers = np.concatenate([a.astype(np.float64).reshape(-1) for a, _ in alike])
    numbers = numbers[np.isfinite(numbers)]  # what no task reads may be infinite
    spread = (float(numbers.var()) or float(np.square(numbers).mean()) or 1.0) if numbers.size else 1.0
    errors = (min(float(np.square(difference(a, b)).mean()), WHOLLY * spread) for a, b in alike)
    return (other + sum(errors) / spread) / len(before)
