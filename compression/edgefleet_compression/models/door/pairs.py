"""Two samples that a model answers differently: asked alone and together, they show what its batch is."""

from collections.abc import Iterable
from contextlib import suppress
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
    """Find two samples of one shape whose answers differ, in every output if there are such.

    If no two do, a sample and its reversal stand in for them: these are still numbers as the model is asked.

    Args:
        session: the model.
        asked: samples, with a signature whose inputs are as they come.

    Returns:
        Of the pairs that were looked at, the one that differs in most outputs; None if no answers differ.

    Raises:
        GraphError: it does not run.
    """
    rows = np.unique(np.linspace(0, len(asked) - 1, MOST_ROWS).astype(int)).tolist()
    first = asked.one(rows[0])
    if (found := _best(session, first, map(asked.one, rows[1:]))) is not None:
        return found
    for one in map(asked.one, rows):
        with suppress(GraphError):  # a reversed sample may be one that nobody asks
            if (found := _best(session, one, [_reversed(one)])) is not None:
                return found
    return None


def _best(session: ModelSession, one: Feed, others: Iterable[Feed]) -> Pair | None:
    """The pair of one sample with others that differs in most outputs, up to the first that differs in all."""
    answers, best, most = answered(session, one), None, 0
    for other in others:
        if not _comparable(one, other):
            continue
        pair = Pair(one, other, (answers, answered(session, other)))
        if pair.differ_in > most:
            best, most = pair, pair.differ_in
        if most == len(answers):
            break
    return best


def _comparable(one: Feed, other: Feed) -> bool:
    """Whether two samples have one shape, and differ."""
    alike = all(x.shape == other[name].shape for name, x in one.items())
    return alike and not all(np.array_equal(x, other[name]) for name, x in one.items())


def _reversed(one: Feed) -> Feed:
    return {name: x.ravel()[::-1].reshape(x.shape) for name, x in one.items()}


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
