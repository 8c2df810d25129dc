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
from edgefleet_compression.models.door.pairs import answered, differing_pair, near
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.state import SequenceState

MOST_STATE_SIZES = 3
"""How often a model is asked for the sizes of its state: with 1 for open ones, with those that it gives, and again."""


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


def as_stepped(
    signature: Signature, state: SequenceState, ranks: Mapping[str, int], whole: bool
) -> tuple[Signature, frozenset[str]]:
    """The signature of a model that is asked step by step, and which inputs have steps, along their samples.

    An input has if a sample has an axis more than a step, with or without the batch; else it is the same at each step.

    Args:
        signature: as the file says it.
        state: which tensors are no samples.
        ranks: how many axes a sample of each input has, by its name.
        whole: whether no input has a batch, whatever its first axis looks like.

    Raises:
        GraphError: a sample has more or fewer axes than that, or none has steps.
    """
    kept = {pair.given for pair in state.pairs}
    inputs, stepped = [], set()
    for tensor in signature.inputs:
        if tensor.name in kept or (rank := ranks.get(tensor.name)) is None:
            inputs.append(replace(tensor, batched=False, batch_axis=0))
            continue
        found, has_steps = _as_stepped(tensor, rank, whole)
        inputs.append(found)
        stepped |= {tensor.name} if has_steps else set()
    if ranks and not stepped:
        raise GraphError("no input has steps: a sample of a model with state is a sequence, [steps, ...]")
    return Signature(tuple(inputs), signature.outputs), frozenset(stepped)


def _as_stepped(tensor: Tensor, rank: int, whole: bool) -> tuple[Tensor, bool]:
    axes, first = len(tensor.shape), tensor.shape[0] if tensor.shape else None
    batch = axes > 0 and not whole and (first == 1 or not isinstance(first, int))
    if rank == axes + 1 or (rank == axes and not batch):
        return replace(tensor, batched=False, batch_axis=0), rank == axes + 1
    if batch and rank in (axes, axes - 1):
        return replace(tensor, batched=True, batch_axis=0), rank == axes
    raise GraphError(
        f"a sample of '{tensor.name[:60]}' has {rank} axes and a step of the model takes {tensor.shown}: give a "
        f"sequence, [steps, ...], or what is the same at every step"
    )


def settled(session: ModelSession, asked: Asked) -> Reading:
    """Find the batch axes by running the model on two samples alone and together.

    A model that may not be asked several at once has a batch of 1 in its signature, so that nobody does.

    Args:
        session: the model.
        asked: samples, with a signature whose inputs are as they come.

    Raises:
        GraphError: it does not run.
    """
    signature = asked.signature
    batched = [tensor for tensor in signature.inputs if tensor.batched]
    open_ended = all(not isinstance(tensor.shape[tensor.batch_axis], int) for tensor in batched)
    first = answered(session, asked.one(0))
    if not batched:
        return Reading(signature, False)
    alone = Reading(_one_at_a_time(_outputs(signature, [_single(output) for output in first])), False)
    if not (open_ended and len(batched) == len(signature.inputs)):
        return alone
    pair = differing_pair(session, asked)
    if pair is None:
        return replace(alone, guesses=("samples are asked one at a time: the model answers all those tried alike",))
    at = {tensor.name: tensor.batch_axis for tensor in batched}
    try:
        both = session.run({name: np.concatenate([x, pair.other[name]], at[name]) for name, x in pair.one.items()})
    except Exception:  # a binding's own types
        both = None
    axes = None if both is None else [_axis(*three) for three in zip(*pair.answers, both, strict=True)]
    if axes is None or None in axes:
        why = "fails" if both is None else "answers otherwise"
        guess = f"samples are asked one at a time: asked two at once, the model {why}"
        return replace(alone, guesses=(guess,))
    return Reading(_outputs(signature, axes), True)


def settled_steps(session: ModelSession, asked: Asked) -> Reading:
    """Find the sizes of a model's state by running it on the first step of a sequence, and the batch axes with them.

    Args:
        session: the model.
        asked: one sequence or more, with the state, of which sizes may be open.

    Raises:
        GraphError: it does not run, or its next state has other sizes.
    """
    state = asked.state
    assert state is not None  # by the caller
    names = [tensor.name for tensor in session.signature.outputs]
    for _ in range(MOST_STATE_SIZES):
        outputs = dict(zip(names, answered(session, asked.one()), strict=True))
        found = {pair.given: outputs[pair.gives].shape for pair in state.pairs}
        known = all(asked.one()[name].shape == shape for name, shape in found.items())
        asked = replace(asked, signature=state.sized(asked.signature, found))
        _check_state_sizes(session, state, asked)
        if known:
            break
    try:
        state.check(asked.signature)
    except ValueError as error:
        raise GraphError(f"{error}: correct [[state]], or export the model with a state of one size") from None
    if not known:
        raise GraphError(f"the state '{state.pairs[0].given[:60]}' grows with each step: export it with one size")
    gives = {pair.gives for pair in state.pairs}
    axes = [None if name in gives else _single(outputs[name]) for name in names]
    return Reading(_one_at_a_time(_outputs(asked.signature, axes)), False)


def _check_state_sizes(session: ModelSession, state: SequenceState, asked: Asked) -> None:
    """Check that what was found is what the file declares."""
    declared = {tensor.name: tensor for tensor in (*session.signature.inputs, *session.signature.outputs)}
    for tensor in state.tensors(asked.signature):
        told = declared[tensor.name]
        sizes = zip(told.shape, tensor.shape, strict=False)
        if len(told.shape) != len(tensor.shape) or any(isinstance(a, int) and a != b for a, b in sizes):
            raise GraphError(
                f"the state '{tensor.name[:60]}' is {told.shown} and its next value {tensor.shown}: correct [[state]]"
            )


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
        if near(both.take([0], axis), first) and near(both.take([1], axis), second):
            return axis
    return None


def _outputs(signature: Signature, axes: Sequence[int | None]) -> Signature:
    pairs = zip(signature.outputs, axes, strict=True)
    told = tuple(replace(one, batched=axis is not None, batch_axis=axis or 0) for one, axis in pairs)
    return Signature(signature.inputs, told)
