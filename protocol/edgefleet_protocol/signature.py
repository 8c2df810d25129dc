"""What a model takes and gives, and how its answers are meant: plain values, light enough for a device's worker."""

from dataclasses import dataclass

LOGITS, PROBABILITIES = "logits", "probabilities"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output by its Open Inference Protocol datatype; None in the shape is any size."""

    name: str
    datatype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """How the answers of one model version are meant, decided once, when it is built.

    `outputs` says whether a classifier gives logits or probabilities.
    """

    outputs: str = LOGITS
