"""What may be made of an ONNX file that somebody brought, by what its graph holds; whatever it is, it can be delivered.

Importing this module brings no onnx: the controller judges recipes by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgefleet_protocol.features import FIRST_TASK
from edgefleet_protocol.signature import FLOATS, Signature

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


def ways_of(contents: "Contents", task: str, signature: Signature, resized: bool = False) -> Ways:
    """What may be made of a file.

    Args:
        contents: what its graph holds.
        task: the model's, by name.
        signature: what the model takes and gives.
        resized: whether pictures of any size are sent, and made one size before the model.
    """
    return replace(signed_ways(task, signature, resized), weights=_weights(contents))


def signed_ways(task: str, signature: Signature, resized: bool = False) -> Ways:
    """What may be made of a file as far as its signature tells, before anybody looks into its graph.

    Args:
        task: the model's, by name.
        signature: what the model takes and gives; with its state, if it has any.
        resized: whether pictures of any size are sent, and made one size before the model.
    """
    if why := training_ways(task, len(signature.inputs)).training:
        return Ways(training=why)
    if (outputs := len(signature.outputs)) != 1:
        return Ways(training=f"a student gives one output, and the model gives {outputs}")
    [taken], [given] = signature.inputs, signature.outputs
    if not taken.batched or taken.batch_axis or (taken.sample_size is None and not resized):
        return Ways(training=f"a student takes a batch of samples of one size, and the model takes {taken.shown}")
    if not given.batched or given.batch_axis or len(given.shape) != 2 or given.datatype not in FLOATS:
        shown = f"{given.datatype} {given.shown}"
        return Ways(training=f"a student gives a number for each class, [batch, classes], and the model gives {shown}")
    return ANY_WAY


def training_ways(task: str, inputs: int) -> Ways:
    """What may be made of a file as far as its card tells.

    Args:
        task: the model's, by name.
        inputs: how many the model takes.
    """
    if task != FIRST_TASK:
        return Ways(training=f"a student learns to tell classes apart, and the model's task is {task}")
    if inputs != 1:
        return Ways(training=f"a student takes one input, and the model takes {inputs}")
    return ANY_WAY


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


def _named(operators: Sequence[str]) -> str:
    """The first operators, as a sentence names them."""
    return ", ".join([*operators[:NAMED], *(["others"] if len(operators) > NAMED else [])]) or "nothing"
