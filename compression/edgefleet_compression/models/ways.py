"""What may be made of an ONNX file that somebody brought, by what its graph holds; whatever it is, it can be delivered.

Importing this module brings no onnx: the controller judges recipes by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgefleet_protocol.features import FIRST_TASK

if TYPE_CHECKING:
    from edgefleet_compression.onnx_graphs.contents import Contents

NAMED = 3
"""How many operators a sentence names."""


@dataclass(frozen=True)
class Ways:
    """What may be made of a file beside delivering it as it is: None is yes, a sentence says why not.

    Attributes:
        weights: its weights in fewer bits, or fewer of them.
        training: another network that learns from it.
    """

    weights: str | None = None
    training: str | None = None


ANY_WAY = Ways()
"""As far as is known, everything."""


def ways_of(contents: "Contents", task: str, inputs: int, outputs: int) -> Ways:
    """What may be made of a file.

    Args:
        contents: what its graph holds.
        task: the model's, by name.
        inputs: how many the model takes.
        outputs: how many it gives.
    """
    return replace(training_ways(task, inputs, outputs), weights=_weights(contents))


def training_ways(task: str, inputs: int, outputs: int = 1) -> Ways:
    """What may be made of a file as far as its task and its inputs tell, before anybody looks into its graph.

    Args:
        task: the model's, by name.
        inputs: how many the model takes.
        outputs: how many it gives, as far as that is known.
    """
    return Ways(training=_training(task, inputs, outputs))


def _weights(contents: "Contents") -> str | None:
    whole, few = contents.float_numbers, contents.few_bit_numbers
    if whole > few:
        return None
    if few:
        share = "most of the model's weights" if whole else "the model's weights"
        return f"{share} take 8 bits or fewer already (read by {_named(contents.few_bit_readers)})"
    if contents.other_numbers:
        return f"nothing here rounds weights as the model has them (read by {_named(contents.other_readers)})"
    return f"the model has no weights that could take fewer bits: it is made of {_named(contents.operators)}"


def _training(task: str, inputs: int, outputs: int) -> str | None:
    if task != FIRST_TASK:
        return f"a student learns to tell classes apart, and the model's task is {task}"
    if inputs != 1:
        return f"a student takes one input, and the model takes {inputs}"
    if outputs != 1:
        return f"a student gives one output, and the model gives {outputs}"
    return None


def _named(operators: Sequence[str]) -> str:
    """The first operators, as a sentence names them."""
    return ", ".join([*operators[:NAMED], *(["others"] if len(operators) > NAMED else [])]) or "nothing"
