"""Small operations on ONNX graphs that more than one step needs."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx

from edgefleet_compression.onnx_graphs.skim import skim

UNFOLDED_BYTES = 4


def saved(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model to a file; the same model always has the same bytes."""
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The subgraphs of a node: of If, Loop and Scan."""
    return [graph for a in node.attribute for graph in ([a.g] if a.HasField("g") else [*a.graphs])]


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph, and every one within its nodes."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node of a graph and of its subgraphs."""
    for one in graphs(graph):
        yield from one.node


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor of a graph and of its subgraphs: weights and constants."""
    for one in graphs(graph):
        yield from one.initializer
        for sparse in one.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for a in (a for node in one.node for a in node.attribute):
            yield from ([a.t] if a.HasField("t") else a.tensors)
            for sparse in [a.sparse_tensor] if a.HasField("sparse_tensor") else a.sparse_tensors:
                yield from (sparse.values, sparse.indices)


def weights(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Every dense tensor with the name that it is read by: stored, or what a `Constant` gives; of subgraphs too."""
    for one in graphs(graph):
        yield from ((tensor.name, tensor) for tensor in one.initializer)
        for node in (node for node in one.node if node.op_type == "Constant"):
            yield from ((node.output[0], a.t) for a in node.attribute if a.HasField("t"))


def parameters(graph: onnx.GraphProto) -> int:
    """How many numbers are in the weights of a graph."""
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    return sum(math.prod(tensor.dims) for _, tensor in weights(graph) if tensor.data_type in floats)


def unfolded_bytes(path: Path) -> int:
    """What the weights of a file take in memory: those that are cast or dequantized, unfolded to four bytes each."""
    graph = skim(path).graph
    unfolding = ("Cast", "DequantizeLinear")
    widened = {node.input[0] for node in nodes(graph) if node.op_type in unfolding and node.input}
    scattered = (sparse for one in graphs(graph) for sparse in one.sparse_initializer)
    total: int = sum(math.prod(sparse.dims) * UNFOLDED_BYTES for sparse in scattered)
    for name, tensor in weights(graph):
        plain = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        size = max(UNFOLDED_BYTES, plain) if name in widened else plain
        total += math.prod(tensor.dims) * size
    return total


def put_first(graph: onnx.GraphProto, unfold: Iterable[onnx.NodeProto]) -> None:
    """Put nodes before all others of a graph; in place, and graphs within its nodes stay the objects that they are."""
    for index, node in enumerate(unfold):
        graph.node.insert(index, node)


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)
