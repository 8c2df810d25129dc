"""Which axes of a model are the batch: what the samples say, and what running it shows.

A leading axis of any size is not always the batch: it may be time, and an output may have its batch elsewhere. So one
sample and another are asked alone and together, and only what answers alike counts as a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.samples import Column, Samples
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


def as_sampled(signature: Signature, samples: Samples) -> Signature:
    """The signature with a batch axis where samples come without their model's first axis, and none where they don't.

    Raises:
        GraphError: samples have neither the model's number of axes nor one less.
    """
    inputs = tuple(_as_sampled(tensor, samples.columns.get(tensor.name)) for tensor in signature.inputs)
    return Signature(inputs, signature.outputs)


def settled(session: ModelSession, samples: Samples) -> Reading:
    """Find the batch axes by running the model on two samples alone and together.

    Args:
        session: with a signature whose inputs are as samples come.
        samples: two or more, or one, with which nothing can be found.

    Raises:
        GraphError: it does not run.
    """
    signature = session.signature
    batched = [tensor for tensor in signature.inputs if tensor.batched]
    open_ended = all(not isinstance(tensor.shape[tensor.batch_axis], int) for tensor in batched)
    alike = len(samples) > 1 and all(column.is_dense for column in samples.columns.values())
    first = _run(session, samples.feed(0, signature))
    if not batched:
        return Reading(signature, False)
    if not (open_ended and alike and len(batched) == len(signature.inputs)):
        return Reading(_outputs(signature, [_single(output) for output in first]), False)
    second = _run(session, samples.feed(1, signature))
    try:
        both = session.run(samples.batch(0, 2, signature))
    except Exception:  # a binding's own types
        both = None
    axes = None if both is None else [_axis(*three) for three in zip(first, second, both, strict=True)]
    if axes is None or None in axes:
        why = "fails" if both is None else "answers otherwise"
        guess = f"samples are asked one at a time: asked two at once, the model {why}"
        return Reading(_outputs(signature, [_single(output) for output in first]), False, (guess,))
    return Reading(_outputs(signature, axes), True)


def _as_sampled(tensor: Tensor, column: Column | None) -> Tensor:
    if column is None:
        return tensor
    rank = column.row(0).ndim
    if rank == len(tensor.shape):
        return replace(tensor, batched=False, batch_axis=0)
    if rank == len(tensor.shape) - 1:
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
