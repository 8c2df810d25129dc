"""The states of a model on its way through a recipe, and how they are stored without a pickle.

Importing this module is cheap: torch and safetensors are imported by what needs them.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefleet_compression.errors import ArchitectureError
from edgefleet_process.reading import digest_of_file
from edgefleet_protocol.canonical import canonical_json

if TYPE_CHECKING:
    from torch import nn

    from edgefleet_compression.models.door.brought import Graph
    from edgefleet_compression.networks.architectures import Args

STRUCTURE = "structure.json"
WEIGHTS = "weights.safetensors"
GRAPH = "model.onnx"


@dataclass(frozen=True)
class TorchState:
    """A module, with what it takes to build it again: the shapes of its weights say how it was pruned.

    `ranges` are those of activations (least, largest) by the name of a traced node, if training found them; they belong
    to just these weights.
    """

    architecture: str
    args: "Args"
    input_shape: tuple[int, ...]
    classes: int
    module: "nn.Module"
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def with_ranges(self, ranges: Mapping[str, tuple[float, float]]) -> "TorchState":
        """The same state with these ranges of its activations."""
        return replace(self, ranges=ranges)

    def structure(self) -> dict[str, Any]:
        """All but the weights, as plain values."""
        return {
            "kind": "torch",
            "architecture": self.architecture,
            "args": dict(self.args),
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            **({"ranges": {name: list(span) for name, span in self.ranges.items()}} if self.ranges else {}),
        }

    def weights(self) -> bytes:
        """The weights as safetensors, on the CPU."""
        from safetensors.torch import save

        return save({name: tensor.detach().contiguous() for name, tensor in self.module.state_dict().items()})

    def digest(self) -> str:
        """The sha256 of structure and weights."""
        return hashlib.sha256(canonical_json(self.structure()) + b"\0" + self.weights()).hexdigest()

    def parameters(self) -> int:
        """How many numbers training can change."""
        return sum(p.numel() for p in self.module.parameters())

    def save(self, folder: Path) -> None:
        """Write the state into `folder`."""
        (folder / STRUCTURE).write_bytes(canonical_json(self.structure()))
        (folder / WEIGHTS).write_bytes(self.weights())


@dataclass(frozen=True)
class OnnxState:
    """An ONNX file."""

    path: Path

    def digest(self) -> str:
        """The sha256 of the file."""
        return digest_of_file(self.path)

    def save(self, folder: Path) -> None:
        """Write the state into `folder`."""
        (folder / STRUCTURE).write_bytes(canonical_json({"kind": "onnx"}))
        shutil.copyfile(self.path, folder / GRAPH)


@dataclass(frozen=True)
class BroughtState:
    """An ONNX file as its author gave it, checked (see brought.py); only `export` takes it.

    `takes_one` says that by its own words it takes one sample at a time.
    """

    path: Path
    graph: "Graph"
    takes_one: bool = False

    def digest(self) -> str:
        """The sha256 of the file."""
        return digest_of_file(self.path)

    def parameters(self) -> int:
        """How many numbers its weights are."""
        return self.graph.parameters


State = TorchState | OnnxState
SourceState = TorchState | BroughtState


def torch_state(
    architecture: str, args: "Args", input_shape: tuple[int, ...], classes: int, weights: Path
) -> TorchState:
    """The state of a built-in architecture with the weights of a safetensors file, pruned or not.

    Raises:
        ArchitectureError: no such architecture, or weights that don't fit it or are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from edgefleet_compression.networks.architectures import HEAD, build, resize

    module = build(architecture, args, input_shape, classes)
    try:
        tensors = load_file(weights)
    except (OSError, ValueError, SafetensorError) as error:
        raise ArchitectureError(f"the weights are no safetensors file ({error}): save them again") from None
    if bad := [name for name, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]:
        raise ArchitectureError(f"the weight '{bad[0]}' holds values that are not finite: repair the training")
    if HEAD in tensors and len(tensors[HEAD]) != classes:
        raise ArchitectureError(
            f"the weights answer {len(tensors[HEAD])} classes, and there are {classes} labels: correct one of them"
        )
    resize(module, tensors)
    module.eval()
    return TorchState(architecture, dict(args), input_shape, classes, module)


def load_state(folder: Path) -> State:
    """The state that `save` wrote into `folder`."""
    structure = json.loads((folder / STRUCTURE).read_bytes())
    if structure.pop("kind") == "onnx":
        return OnnxState(folder / GRAPH)
    shape = tuple(structure["input_shape"])
    state = torch_state(structure["architecture"], structure["args"], shape, structure["classes"], folder / WEIGHTS)
    return state.with_ranges({name: (low, high) for name, (low, high) in structure.get("ranges", {}).items()})


def copied(state: TorchState) -> TorchState:
    """The same state with its own module, so that a step never changes its input; ranges are dropped."""
    from edgefleet_compression.networks.architectures import build, resize

    module = build(state.architecture, state.args, state.input_shape, state.classes)
    tensors = {k: v.detach().clone() for k, v in state.module.state_dict().items()}
    resize(module, tensors)
    return TorchState(state.architecture, state.args, state.input_shape, state.classes, module)
