"""What a brought model takes, by its file, its card and the headers of its samples, before anything is run."""

from dataclasses import dataclass, replace
from pathlib import Path

from edgefleet_compression.models.around.pictures import BYTE, FLOAT, Composition, composition_of, datatype_of
from edgefleet_compression.models.door.reading import as_sampled, as_stepped
from edgefleet_compression.models.door.shown import shown_sample
from edgefleet_compression.models.splits.column_checks import WantedInput, check_plain_labels
from edgefleet_compression.models.splits.data import SplitFile, sample_headers
from edgefleet_compression.models.splits.parts import PartReader
from edgefleet_compression.onnx_graphs.composed import AS_IT_IS
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.onnx_graphs.sent import SentInput
from edgefleet_contract.card import CARD_FILE, Input, ModelCard
from edgefleet_contract.errors import CardError
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.state import SequenceState


@dataclass(frozen=True)
class OpenedSamples:
    """A model and its samples before anything is run.

    Attributes:
        signature: what the network takes and gives, as far as its file and the samples' headers say.
        made: what its card wants put around it.
        data: the samples as applications send them.
    """

    signature: Signature
    made: Composition
    data: SplitFile


def open_samples(session: ModelSession, card: ModelCard, path: Path) -> OpenedSamples:
    """What a model takes by its file, its card and the headers of its samples; nothing large is read yet.

    Args:
        session: the model.
        card: what its author says of it.
        path: the data file.

    Raises:
        CardError, DataError, GraphError: they contradict one another; one line says how.
    """
    signature, state = session.signature, _state(card, session.signature)
    _check_names(card, sampled_part(signature, state))
    if card.batch == "none":
        signature = signature.without_batch()
    headers = sample_headers(path, [tensor.name for tensor in sampled_part(signature, state).inputs])
    ranks = {name: header.rank for name, header in headers.items()}
    stepped: frozenset[str] = frozenset()
    if state:
        signature, stepped = as_stepped(signature, state, ranks, card.batch == "none")
    elif card.batch != "none":
        signature = as_sampled(signature, ranks)
    sampled = sampled_part(signature, state)
    types = [datatype_of(headers[tensor.name].dtype) for tensor in sampled.inputs if tensor.name in headers]
    made = composition_of(card, sampled, types[0] if types else None)
    if state and (made.plain_scale(sampled) is None or made.given != AS_IT_IS):
        raise CardError(f"{CARD_FILE}: a model with state takes a scale alone: leave out other pre- and postprocessing")
    told = made.signature(sampled)
    _check_shapes(card, told)
    wanted = [_wanted(tensor, told, made) for tensor in told.inputs]
    reader = PartReader([one.by_step() if one.name in stepped else one for one in wanted], False, check_plain_labels)
    return OpenedSamples(signature, made, SplitFile(path, reader))


def _state(card: ModelCard, signature: Signature) -> SequenceState | None:
    state = card.sequences
    try:
        if state:
            state.tensors(signature)
    except ValueError as error:
        raise CardError(f"{CARD_FILE}, state: {error}") from None
    return state


def sampled_part(signature: Signature, state: SequenceState | None) -> Signature:
    """What samples are of: all but the state."""
    given = {pair.given for pair in state.pairs} if state else set()
    return Signature(tuple(one for one in signature.inputs if one.name not in given), signature.outputs)


def _wanted(tensor: Tensor, told: Signature, made: Composition) -> WantedInput:
    if len(told.inputs) > 1 or made.sent not in (None, SentInput(tensor.name, BYTE, scale=made.scale)):
        return WantedInput.of(tensor)
    also = ", or float32 with a scale of 1"
    if made.sent is not None:
        return replace(WantedInput.of(tensor), also=also)
    datatypes = (BYTE, FLOAT) if tensor.datatype == FLOAT else (tensor.datatype,)
    return WantedInput(tensor.name, datatypes, tensor.sample_shape, also=also if tensor.datatype == FLOAT else "")


def _check_names(card: ModelCard, signature: Signature) -> None:
    names = [tensor.name for tensor in signature.inputs]
    for one in card.described:
        if one.name not in names:
            what = "the graph" if len(names) == 1 else "the graph's are"
            shown = ", ".join(f"'{name[:60]}'" for name in names) or "none"
            raise CardError(f"{CARD_FILE} names the input '{one.name[:60]}', {what} {shown}: correct input.name")


def _check_shapes(card: ModelCard, signature: Signature) -> None:
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    for one in card.described:
        if one.shape is not None and not _fits(one, tensors[one.name]):
            takes = shown_sample(tensors[one.name])
            raise CardError(
                f"{CARD_FILE} gives samples {list(one.shape)}, the graph takes {takes}: correct input.shape"
            )


def _fits(one: Input, tensor: Tensor) -> bool:
    sizes = tensor.sample_shape
    assert one.shape is not None  # by the caller
    return len(one.shape) == len(sizes) and all(
        size == axis for size, axis in zip(one.shape, sizes, strict=True) if isinstance(axis, int)
    )
