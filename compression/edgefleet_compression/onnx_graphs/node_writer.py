"""Writes the nodes and constants that are added to a graph, under names that nothing else there has."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgefleet_compression.onnx_graphs.graph import graphs
from edgefleet_protocol.datatypes import BY_NAME, BYTES


class NodeWriter:
    """Nodes in the order in which they run; each method gives the name of what it makes."""

    def __init__(self, prefix: str) -> None:
        """Begin with nothing.

        Args:
            prefix: how every name begins; see `free_prefix`.
        """
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix
        self._count = 0

    def name(self) -> str:
        """A name that was not given before."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    def node(self, operator: str, *inputs: str, gives: str = "", **attributes: Any) -> str:
        """A node of the standard domain; its output, called `gives` if that is not empty."""
        output = gives or self.name()
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def several(self, operator: str, count: int, *inputs: str, **attributes: Any) -> tuple[str, ...]:
        """A node with so many outputs."""
        outputs = tuple(self.name() for _ in range(count))
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

    def constant(self, values: NDArray[Any]) -> str:
        """A stored tensor."""
        name = self.name()
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def whole(self, *values: int) -> str:
        """Whole numbers, int64 [values]."""
        return self.constant(np.array(values, np.int64))

    def real(self, values: float | Sequence[float], *shape: int) -> str:
        """Real numbers, float32 of a shape."""
        return self.constant(np.array(values, np.float32).reshape(shape))

    def texts(self, values: Iterable[str]) -> str:
        """Texts, [values]."""
        name, stored = self.name(), np.array([value.encode() for value in values], object)
        self.constants.append(numpy_helper.from_array(stored, name))
        return name


def element_type(datatype: str) -> int:
    """The ONNX type of a datatype of the Open Inference Protocol."""
    if datatype == BYTES:
        return int(onnx.TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(BY_NAME[datatype].numpy)))


def all_names(graph: onnx.GraphProto) -> set[str]:
    """Every name of a value or a node, also in graphs within nodes."""
    found: set[str] = set()
    for one in graphs(graph):
        found.update(value.name for value in (*one.input, *one.output, *one.initializer))
        found.update(sparse.values.name for sparse in one.sparse_initializer)
        for node in one.node:
            found.update((node.name, *node.input, *node.output))
    return found


def free_prefix(graph: onnx.GraphProto, prefix: str) -> str:
    """A beginning of names, such as this one, that no name of the graph has."""
    names = all_names(graph)
    while any(name.startswith(prefix) for name in names):
        prefix += "_"
    return prefix
