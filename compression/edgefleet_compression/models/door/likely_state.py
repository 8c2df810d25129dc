"""Which inputs of a model are its state where its card does not say: no samples are there, and an output follows."""

from pathlib import Path

from edgefleet_compression.models.splits.data import sample_headers
from edgefleet_contract.card import ModelCard
from edgefleet_contract.card_states import CardStatePair
from edgefleet_protocol.signature import Signature, Tensor


def with_likely_state(card: ModelCard, signature: Signature, path: Path) -> tuple[ModelCard, str | None]:
    """The card with the state of a model that says nothing of it, and what was guessed; as it is where there is none.

    Args:
        card: what its author says of the model.
        signature: what the file takes and gives.
        path: the data file.

    Raises:
        DataError: it cannot be read.
    """
    pairs = () if card.state else likely_pairs(signature)
    held = sample_headers(path, [tensor.name for tensor in signature.inputs]) if pairs else {}
    pairs = tuple(pair for pair in pairs if pair.input not in held)
    kept = {pair.input for pair in pairs}
    others = [tensor.name for tensor in signature.inputs if tensor.name not in kept]
    if not pairs or not others or len(sample_headers(path, others)) < len(others):
        return card, None
    told = " and ".join(f"'{pair.input[:60]}' takes what '{pair.output[:60]}' gave the step before" for pair in pairs)
    return card.model_copy(update={"state": pairs}), f"samples are taken to be sequences: {told}"


def likely_pairs(signature: Signature) -> tuple[CardStatePair, ...]:
    """Inputs with the only output of their type and sizes whose name has theirs in front, or behind; pure."""
    found = []
    for given in signature.inputs:
        gives = [one.name for one in signature.outputs if _goes_on(given, one)]
        found += [CardStatePair(input=given.name, output=gives[0])] if len(gives) == 1 else []
    outputs = [pair.output for pair in found]
    return tuple(pair for pair in found if outputs.count(pair.output) == 1)


def _goes_on(given: Tensor, gives: Tensor) -> bool:
    alike = given.datatype == gives.datatype and len(given.shape) == len(gives.shape) > 1
    named = gives.name.startswith(given.name) or gives.name.endswith(given.name)
    return alike and named and all(map(_may_be, given.shape, gives.shape))


def _may_be(size: object, other: object) -> bool:
    return not (isinstance(size, int) and isinstance(other, int)) or size == other
