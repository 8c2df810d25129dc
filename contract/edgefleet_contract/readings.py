"""What a model was found to do, take and give, when it was registered."""

from typing import Any

from pydantic import field_serializer

from edgefleet_contract.base import Shape
from edgefleet_protocol.fields import Word
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.state import SequenceState


class ModelReading(Shape):
    """A model as it was read: its task and signature, and whether several samples may be asked at once.

    `state` is what it keeps from one step of a sequence to the next; `signature` is what applications send and get.
    `scale` is what samples are multiplied by. `guesses` are what was decided without being told, a sentence each.
    """

    task: Word
    signature: Signature
    batches: bool
    scale: float
    guesses: tuple[str, ...] = ()
    state: SequenceState | None = None

    @field_serializer("state")
    def _state_as_told(self, state: SequenceState | None) -> dict[str, Any] | None:
        return state.told() if state else None

    @field_serializer("signature")
    def _as_told(self, signature: Signature) -> dict[str, Any]:
        return signature.told()


class KeptStateView(Shape):
    """A part of a model's state: an input that takes what an output gave at the step before."""

    input: str
    output: str


class TensorView(Shape):
    """An input or output by its Open Inference Protocol datatype; a size is a number, a name, or null for any.

    `batched` says that its axis `batch_axis` is the batch, which samples come without.
    """

    name: str
    datatype: str
    shape: list[int | str | None]
    batched: bool
    batch_axis: int = 0

    @classmethod
    def of(cls, tensor: Tensor) -> "TensorView":
        """The view of a signature's tensor."""
        return cls(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=list(tensor.shape),
            batched=bool(tensor.batched),
            batch_axis=tensor.batch_axis,
        )
