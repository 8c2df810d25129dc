"""The tables `[[state]]` and `[states]` of a card: what a model keeps from one step of a sequence to the next."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from edgefleet_contract.card_part import CardPart
from edgefleet_protocol.state import MAX_IDLE_S, SequenceState, StatePair


class CardStatePair(CardPart):
    """An input of the graph, and the output that is its next value."""

    input: Annotated[str, Field(min_length=1, max_length=1024)]
    output: Annotated[str, Field(min_length=1, max_length=1024)]


class CardStates(CardPart):
    """Whether sequences go on with the next version of the model, and after how many idle seconds they end."""

    carries: bool = False
    idle_s: Annotated[float, Field(gt=0, le=MAX_IDLE_S, allow_inf_nan=False)] = 60.0


def sequence_state(pairs: Sequence[CardStatePair], states: CardStates) -> SequenceState | None:
    """The state as a manifest has it; None for a model without.

    Raises:
        ValueError: a tensor is in two pairs.
    """
    if not pairs:
        return None
    named = tuple(StatePair(pair.input, pair.output) for pair in pairs)
    return SequenceState(named, states.carries, states.idle_s)
