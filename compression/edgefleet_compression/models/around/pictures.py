"""What a card's pre- and postprocessing mean for its network: what is sent for which input, and what is given. Pure."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgefleet_compression.errors import GraphError
from edgefleet_compression.onnx_graphs.composed import AS_IT_IS, PICKED, composed_signature
from edgefleet_compression.onnx_graphs.sent import GivenAnswers, PickedBoxes, SentInput, SentPicture, SurestClasses
from edgefleet_contract.card import CARD_FILE, ModelCard
from edgefleet_contract.card_pictures import CardPreprocessing
from edgefleet_contract.errors import CardError
from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import FLOATS, Signature, Tensor
from edgefleet_protocol.spec import Spec

PIXEL = 1 / 255
FLOAT, BYTE = "FP32", "UINT8"
COLOURS = 3
DATATYPES = {
    "uint8": "UINT8",
    "int8": "INT8",
    "uint16": "UINT16",
    "int16": "INT16",
    "int32": "INT32",
    "float32": "FP32",
}


@dataclass(frozen=True)
class Composition:
    """What is put around a network: `sent` before one of its inputs, `given` after its outputs."""

    sent: SentInput | None = None
    given: GivenAnswers = AS_IT_IS

    @property
    def is_needed(self) -> bool:
        """Whether anything is put around it at all."""
        return self != BARE

    @property
    def scale(self) -> float:
        """What is sent is multiplied by it."""
        return 1.0 if self.sent is None else self.sent.scale

    def plain_scale(self, network: Signature) -> float | None:
        """The scale, if that is all that becomes of the whole numbers of a single input; None if there is more."""
        if self.sent is None:
            return 1.0
        alone = SentInput(self.sent.input, self.sent.datatype, scale=self.sent.scale)
        plain = self.sent == alone and self.sent.datatype not in FLOATS and len(network.inputs) == 1
        return self.sent.scale if plain else None

    def signature(self, network: Signature) -> Signature:
        """What applications send and are given; raises GraphError."""
        return composed_signature(network, self.sent, self.given)


BARE = Composition()


def composition_of(card: ModelCard, network: Signature, sampled: str | None = None) -> Composition:
    """What a card wants put around its network.

    Args:
        card: the card.
        network: what the network takes and gives.
        sampled: the datatype of the samples of a model with a single input; a card may leave it open.

    Raises:
        CardError: the network does not have what the card names, or is not made for it; one line says what it has.
    """
    try:
        made = Composition(_sent(card.preprocessing, network, sampled), _given(card, network))
        made.signature(network)
    except (GraphError, ValueError) as error:
        raise CardError(f"{CARD_FILE}: {error}") from None
    return made


def datatype_of(dtype: np.dtype[Any]) -> str | None:
    """The datatype of an array of numbers; None if it is of another kind."""
    return next((one.name for one in BY_NAME.values() if one.size_bytes and np.dtype(one.numpy) == dtype), None)


def declared_of(card: ModelCard, made: Composition, network: Signature) -> Spec:
    """What a card says of the answers that applications are given.

    Raises:
        CardError: it names outputs that there are not.
    """
    boxes = made.given.boxes
    if boxes is None:
        return card.answers.declared(card.labels, made.signature(network))
    answers = card.answers.model_copy(update={"boxes": None})
    declared = answers.declared(card.labels, made.signature(network))
    return replace(declared, boxes=PICKED, thresholds=declared.thresholds or (boxes.score,))


def _sent(told: CardPreprocessing, network: Signature, sampled: str | None) -> SentInput | None:
    tensor = _input(told, network)
    if tensor is None:
        return None
    datatype = DATATYPES[told.dtype] if told.dtype else BYTE
    scale = told.scale or _usual_scale(told, tensor, sampled)
    if told.is_scale_alone and scale == 1:
        return None  # samples are cast to what the network takes, and so is what applications send
    if tensor.datatype == BYTE and scale != 1:
        raise ValueError("the graph takes uint8 as it is: set preprocessing.scale to 1")
    picture = _picture(told, tensor) if told.is_picture else None
    made = SentInput(tensor.name, datatype, picture, scale, told.mean, told.std)
    return None if made == SentInput(tensor.name, tensor.datatype) else made


def _usual_scale(told: CardPreprocessing, tensor: Tensor, sampled: str | None) -> float:
    """1/255 for bytes that a network takes as real numbers; samples alone tell it of a card that says nothing."""
    if tensor.datatype not in FLOATS:
        return 1.0
    if told.is_scale_alone:
        return PIXEL if sampled == BYTE and tensor.datatype == FLOAT else 1.0
    return PIXEL if told.dtype in (None, "uint8") else 1.0


def _input(told: CardPreprocessing, network: Signature) -> Tensor | None:
    """The input that is preprocessed; None if that is none of several."""
    if told.input is not None:
        found = [tensor for tensor in network.inputs if tensor.name == told.input]
        if not found:
            names = ", ".join(tensor.name for tensor in network.inputs)[:400]
            raise ValueError(
                f"preprocessing.input is '{told.input[:60]}', and the graph takes {names}: name one of them"
            )
        return found[0]
    if len(network.inputs) == 1:
        return network.inputs[0]
    if told.is_scale_alone and told.scale in (None, 1.0):
        return None
    names = ", ".join(tensor.name for tensor in network.inputs)[:400]
    raise ValueError(f"the graph takes {names}: say at preprocessing.input which of them it is for")


def _picture(told: CardPreprocessing, tensor: Tensor) -> SentPicture:
    first = told.layout != "nhwc"
    taken = tensor.sample_shape[0 if first else -1] if tensor.sample_shape else None
    channels = COLOURS if told.colour is not None or not isinstance(taken, int) else taken
    size = None if told.resize is None else (told.resize[0], told.resize[1])
    return SentPicture(channels, told.colour, first, size, told.fit, told.align == "corner", told.pad)


def _given(card: ModelCard, network: Signature) -> GivenAnswers:
    told = card.postprocessing
    top = boxes = None
    if told.top_k is not None:
        place = 0 if card.answers.read_from is None else network.output_named(card.answers.read_from)
        names = card.labels if told.classes == "names" else ()
        if told.classes == "names" and not names:
            raise ValueError('postprocessing.classes is "names", and there are no labels: give them')
        top = SurestClasses(network.outputs[place].name, told.top_k, names)
    if told.most is not None:
        if card.answers.boxes is None:
            raise ValueError("postprocessing.most is of boxes: say at answers.boxes which outputs hold them")
        boxes = PickedBoxes(card.answers.boxes.read(network), told.score, told.overlap, told.most)
    return GivenAnswers(told.softmax, told.sigmoid, top, boxes)
