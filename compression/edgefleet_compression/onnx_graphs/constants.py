"""Weights that a graph writes as nodes, or writes more than once: each becomes one stored tensor."""

import hashlib
import math
from collections.abc import Hashable, Iterator

import onnx
from onnx import TensorProto, numpy_helper

from edgefleet_compression.onnx_graphs.graph import graphs, subgraphs
from edgefleet_compression.onnx_graphs.names import numbered, read_instead, rename_all

LEAST_NUMBERS = 512
"""A smaller tensor can't win back the bytes of the nodes that unfold it."""


def lift_constants(graph: onnx.GraphProto) -> onnx.GraphProto:
    """The same graph with its large weights as stored tensors, and every name given once.

    `Constant` nodes become tensors of the graph that they are in. What several graphs store alike, as both branches
    of an `If` often do, is stored once in the outermost graph, which all of them read. A graph without either is
    returned itself: it may be large, and a copy as large again.
    """
    if not any(_constant(node) or subgraphs(node) for node in graph.node):
        return graph
    made = onnx.GraphProto()
    made.CopyFrom(graph)
    rename_all(made, numbered(made))  # branches may name other values alike
    for one in graphs(made):
        _lift(one)
    _share(made)
    return made


def _lift(graph: onnx.GraphProto) -> None:
    """Store the large float constants of a graph, without those of graphs within its nodes."""
    given = {value.name for value in graph.output}
    for index in range(len(graph.node) - 1, -1, -1):
        node = graph.node[index]
        value = _constant(node)
        if value is None or node.output[0] in given:
            continue
        stored = graph.initializer.add()
        stored.CopyFrom(value)
        stored.name = node.output[0]
        del graph.node[index]


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    """The large float tensor that a node gives; None for every other node."""
    value = next((a.t for a in node.attribute if a.name == "value"), None) if node.op_type == "Constant" else None
    return value if value is not None and value.data_type == TensorProto.FLOAT and _is_large(value) else None


def _share(graph: onnx.GraphProto) -> None:
    """Store once, in the outermost graph, what is stored several times."""
    kept: dict[Hashable, tuple[onnx.GraphProto, TensorProto]] = {}
    other: dict[str, str] = {}
    for home, tensor in list(_large(graph)):
        first = kept.setdefault(_content(tensor), (home, tensor))
        if first[1] is tensor:
            continue
        other[tensor.name] = first[1].name
        home.initializer.remove(tensor)
        if first[0] is not graph:
            graph.initializer.append(first[1])
            first[0].initializer.remove(first[1])
            kept[_content(tensor)] = (graph, graph.initializer[-1])
    read_instead(graph, other)


def _large(graph: onnx.GraphProto) -> Iterator[tuple[onnx.GraphProto, TensorProto]]:
    """Large tensors and their graphs, without what is a graph's own input or output; the outermost graph's first."""
    for one in graphs(graph):
        named = {value.name for value in (*one.input, *one.output)}
        yield from ((one, tensor) for tensor in one.initializer if _is_large(tensor) and tensor.name not in named)


def _is_large(tensor: TensorProto) -> bool:
    return bool(math.prod(tensor.dims) >= LEAST_NUMBERS)


def _content(tensor: TensorProto) -> Hashable:
    values = numpy_helper.to_array(tensor)
    return tensor.data_type, tuple(tensor.dims), hashlib.sha256(values.tobytes()).hexdigest()
