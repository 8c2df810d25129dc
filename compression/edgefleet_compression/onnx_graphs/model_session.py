"""An onnxruntime session that tells what it takes and gives, on one thread, as a device runs it."""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import GraphError, RecipeError
from edgefleet_compression.onnx_graphs.opening import open_graph
from edgefleet_compression.samples import Feed
from edgefleet_protocol import runtime_options
from edgefleet_protocol.datatypes import BY_RUNTIME
from edgefleet_protocol.signature import Axis, Signature, Tensor


class ModelSession:
    """One loaded file.

    Args:
        path: an ONNX file.
        signature: what it takes and gives, if more is known of it than the file says.
        runtime: session configuration entries, those of the variant's `runtime` block.

    Raises:
        RecipeError: no device would take these entries.
        GraphError: an input or output is no tensor, or of a type that nothing can send.
    """

    def __init__(
        self, path: Path, signature: Signature | None = None, runtime: Mapping[str, str] | None = None
    ) -> None:
        if told := runtime_options.refusal(runtime or {}):
            raise RecipeError(told)
        self._session, self.provider = open_graph(path, runtime)
        found = Signature(_tensors(self._session.get_inputs()), _tensors(self._session.get_outputs()))
        self.signature = signature or found
        self._names = [tensor.name for tensor in found.outputs]

    def knowing(self, signature: Signature) -> "ModelSession":
        """The same session, of which more is known."""
        other = copy(self)
        other.signature = signature
        return other

    def run(self, feed: Feed) -> list[NDArray[Any]]:
        """The outputs as the file gives them, in its order."""
        return [np.asarray(output) for output in self._session.run(self._names, dict(feed))]


def _tensors(found: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(Tensor(one.name, _datatype(one), tuple(map(_axis, one.shape))) for one in found)


def _datatype(found: Any) -> str:
    if found.type not in BY_RUNTIME:
        raise GraphError(f"'{str(found.name)[:60]}' is a {found.type}: give tensors of numbers, booleans or texts")
    return BY_RUNTIME[found.type].name


def _axis(size: Any) -> Axis:
    return size if isinstance(size, int | str) and size != "" and not (isinstance(size, int) and size < 0) else None
