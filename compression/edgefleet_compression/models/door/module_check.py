"""What a built-in architecture and its weights must be before anything is made of them; imports torch."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgefleet_compression.errors import ArchitectureError, DataError
from edgefleet_compression.models.states import TorchState, torch_state
from edgefleet_protocol.signature import Signature, Tensor

if TYPE_CHECKING:
    from edgefleet_compression.samples import SampleArray
    from edgefleet_contract.card import ModelCard


def architecture_signature(card: "ModelCard") -> Signature:
    """What a built-in architecture takes and gives."""
    assert card.input is not None  # by the card's own check
    inputs = (Tensor(card.input.name, "FP32", (None, *card.sample_shape)),)
    return Signature(inputs, (Tensor("logits", "FP32", (None, len(card.labels))),))


def check_module(card: "ModelCard", weights: Path) -> TorchState:
    """Build the architecture with its weights, and see that it takes samples as the card describes them.

    Raises:
        ArchitectureError: no such architecture, or arguments, weights or labels that don't fit it.
    """
    import torch

    assert card.architecture is not None  # by the card's own check
    name, args, classes = card.architecture.name, card.architecture.args, len(card.labels)
    state = torch_state(name, args, card.sample_shape, classes, weights)
    try:
        with torch.inference_mode():
            state.module(torch.zeros(1, *card.sample_shape))
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise ArchitectureError(
            f"'{name}' with these weights does not take samples {list(card.sample_shape)} ({first}): "
            "correct one of them"
        ) from None
    return state


def check_module_answers(state: TorchState, x: "SampleArray", scale: float) -> list[int]:
    """Judge what a module answers to samples, and return the classes that it answers.

    Raises:
        ArchitectureError: an answer is not finite.
    """
    import torch

    from edgefleet_compression.networks.batches import answers_of

    answers = answers_of(state.module, torch.from_numpy(x).float() * scale).numpy()
    if bad := int((~np.isfinite(answers).all(1)).sum()):
        raise ArchitectureError(
            f"the model's answer to {bad} of the first {len(answers)} samples of val is not finite: repair the training"
        )
    return [int(label) for label in answers.argmax(1)]


def check_shape(card: "ModelCard", shape: tuple[int, ...]) -> None:
    """Check that the data file holds samples as the card says.

    Raises:
        DataError: it doesn't.
    """
    if shape != card.sample_shape:
        raise DataError(f"the samples are {list(shape)}, the card says {list(card.sample_shape)}: correct one of them")
