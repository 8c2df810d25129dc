"""Which axes of a model are the batch: what the samples say, and what running it shows.

A leading axis of any size is not always the batch: it may be time, and an output may have its batch elsewhere. So one
sample and another are asked alone and together, and only what answers alike counts as a batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_protocol.signature import Signature, Tensor

NEAR = 1e-3
"""How far numbers may be from each other, of the largest: kernels for one sample and for several round differently."""


@dataclass(frozen=True)
class Reading:
    """What a model takes and gives, once it has been run.

    Attributes:
        signature: with the batch axes that were found.
        batches: whether several samples may be asked at once.
        guesses: what was decided without being told, a sentence each.
    """

    signature: Signature
    batches: bool
    guesses: tuple[str, ...] = ()


def as_sampled(signature: Signature, ranks: Mapping[str, int]) -> Signature:
    """The signature with a batch axis where samples come without their model's first axis, and none where they don't.

    Args:
        signature: as the file says it.
        ranks: how many axes a sample of each input has, by its name; an input without is left as it is.

    Raises:
        GraphError: samples have neither the model's number of axes nor one less.
    """
    inputs = tuple(_as_sampled(tensor, ranks.get(tensor.name)) for tensor in signature.inputs)
    return Signature(inputs, signature.outputs)


def settled(session: ModelSession, asked: Asked) -> Reading:
    """Find the batch axes by running the model on two samples alone and together.

    A model that may not be asked several at once has a batch of 1 in its signature, so that nobody does.

    Args:
        session: the model.
        asked: two samples or more, or one, with which nothing can be found; with a signature whose inputs are as
            samples come.

    Raises:
        GraphError: it does not run.
    """
    signature = asked.signature
    batched = [tensor for tensor in signature.inputs if tensor.batched]
    open_ended = all(not isinstance(tensor.shape[tensor.batch_axis], int) for tensor in batched)
    first = _run(session, asked.one(0))
    if not batched:
        return Reading(signature, False)
    alone = Reading(_one_at_a_time(_outputs(signature, [_single(output) for output in first])), False)
    if len(asked) < 2 or not (open_ended and asked.samples.is_dense and len(batched) == len(signature.inputs)):
        return alone
    second = _run(session, asked.one(1))
    try:
        both = session.run(next(replace(asked, batches=True).feeds(2))[0])
    except Exception:  # a binding's own types
        both = None
    axes = None if both is None else [_axis(*three) for three in zip(first, second, both, strict=True)]
    if axes is None or None in axes:
        why = "fails" if both is None else "answers otherwise"
        guess = f"samples are asked one at a time: asked two at once, the model {why}"
        return replace(alone, guesses=(guess,))
    return Reading(_outputs(signature, axes), True)


def _one_at_a_time(signature: Signature) -> Signature:
    def whole(tensor: Tensor) -> Tensor:
        at = tensor.batch_axis
        return replace(tensor, shape=(*tensor.shape[:at], 1, *tensor.shape[at + 1 :])) if tensor.batched else tensor

    return Signature(tuple(map(whole, signature.inputs)), tuple(map(whole, signature.outputs)))


def _as_sampled(tensor: Tensor, rank: int | None) -> Tensor:
    if rank is None:
        return tensor
    if rank == len(tensor.shape):
        return replace(tensor, batched=False, batch_axis=0)
    if rank == len(tensor.shape) - 1:
        at_once = tensor.shape[0]
        if isinstance(at_once, int) and at_once != 1:
            raise GraphError(
                f"the input '{tensor.name[:60]}' takes {at_once} samples at once: export it with batch 1, or any batch"
            )
        return replace(tensor, batched=True, batch_axis=0)
    raise GraphError(
        f"a sample of '{tensor.name[:60]}' has {rank} axes and the model takes {tensor.shown}: give "
        f"{max(len(tensor.shape) - 1, 0)}, without the batch, or {len(tensor.shape)}"
    )


def _run(session: ModelSession, feed: Any) -> list[NDArray[Any]]:
    try:
        return session.run(feed)
    except Exception as error:  # a binding's own types
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise GraphError(f"onnxruntime cannot run the file ({reason}): export it again") from None


def _single(output: NDArray[Any]) -> int | None:
    """The batch axis of an answer to one sample, as far as that shows: the first of size 1."""
    return 0 if output.ndim and output.shape[0] == 1 else None


def _axis(first: NDArray[Any], second: NDArray[Any], both: NDArray[Any]) -> int | None:
    """The axis along which the answer to two samples holds the answers to each; None if there is none."""
    if first.shape != second.shape or both.ndim != first.ndim:
        return None
    for axis in range(both.ndim):
        shape = (*first.shape[:axis], 2 * first.shape[axis], *first.shape[axis + 1 :])
        if first.shape[axis] != 1 or both.shape != shape:
            continue
        if _near(both.take([0], axis), first) and _near(both.take([1], axis), second):
            return axis
    return None


def _near(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype.kind != "f":
        return bool((one == other).all())
    a, b = one.astype(np.float64), other.astype(np.float64)
    largest = max(float(np.abs(a[np.isfinite(a)]).max(initial=0)), 1e-30)
    return bool(np.allclose(a, b, rtol=0, atol=NEAR * largest, equal_nan=True))


def _outputs(signature: Signature, axes: Sequence[int | None]) -> Signature:
    pairs = zip(signature.outputs, axes, strict=True)
    told = tuple(replace(one, batched=axis is not None, batch_axis=axis or 0) for one, axis in pairs)
    return Signature(signature.inputs, told)
