"""Two samples that a model answers differently: asked alone and together, they show what its batch is."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.samples import Feed

MOST_ROWS = 8
"""How many samples are looked at, evenly spread: a slow model takes seconds for each."""
NEAR = 1e-3
"""How far numbers may be from each other, of the largest: kernels for one sample and for several round differently."""

_Outputs = list[NDArray[Any]]


class Pair(NamedTuple):
    """Two samples of one shape, and the answer to each by itself."""

    one: Feed
    other: Feed
    answers: tuple[_Outputs, _Outputs]

    @property
    def differ_in(self) -> int:
        """In how many outputs the answers differ."""
        return sum(a.shape != b.shape or not near(a, b) for a, b in zip(*self.answers, strict=True))


def differing_pair(session: ModelSession, asked: Asked) -> Pair | None:
    """Find two samples that differ, and whose answers do, in every output if there are such.

    If no two samples of one shape serve, a sample and its reversal do: these are still numbers as the model is asked.

    Args:
        session: the model.
        asked: samples, with a signature whose inputs are as they come.

    Returns:
        Of the pairs that were looked at, the one that differs in most outputs; None if no answers differ.

    Raises:
        GraphError: it does not run.
    """
    best: Pair | None = None
    for one, other in _candidates(asked):
        if all(np.array_equal(one[name], other[name]) for name in one):
            continue
        try:
            pair = Pair(one, other, (answered(session, one), answered(session, other)))
        except GraphError:  # a reversed sample may be one that nobody asks
            continue
        if pair.differ_in > (best.differ_in if best else 0):
            best = pair
        if best and best.differ_in == len(best.answers[0]):
            break
    return best


def answered(session: ModelSession, feed: Feed) -> list[NDArray[Any]]:
    """What a model answers.

    Raises:
        GraphError: it does not run.
    """
    try:
        return session.run(feed)
    except Exception as error:  # a binding's own types
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise GraphError(f"onnxruntime cannot run the file ({reason}): export it again") from None


def near(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two answers of one shape are the same but for rounding."""
    if one.dtype.kind != "f":
        return bool((one == other).all())
    a, b = one.astype(np.float64), other.astype(np.float64)
    largest = max(float(np.abs(a[np.isfinite(a)]).max(initial=0)), 1e-30)
    return bool(np.allclose(a, b, rtol=0, atol=NEAR * largest, equal_nan=True))


def _candidates(asked: Asked) -> Iterator[tuple[Feed, Feed]]:
    rows = np.unique(np.linspace(0, len(asked) - 1, MOST_ROWS).astype(int)).tolist()
    first = asked.one(rows[0])
    for row in rows[1:]:
        other = asked.one(row)
        if all(other[name].shape == x.shape for name, x in first.items()):
            yield first, other
    for row in rows:
        one = asked.one(row)
        yield one, {name: x.ravel()[::-1].reshape(x.shape) for name, x in one.items()}
