"""Small operations on ONNX graphs that more than one step needs."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

UNFOLDED_BYTES = 4


def strip(model: onnx.ModelProto) -> None:
    """Remove what no session reads, but every device would download, and shorten names; in place."""
    del model.metadata_props[:]
    del model.training_info[:]
    # Cleared, for an empty text that is set takes two bytes.
    for field in ("doc_string", "producer_name", "producer_version"):
        model.ClearField(field)
    graph = model.graph
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    del graph.metadata_props[:]
    graph.ClearField("doc_string")
    graph.name = "g"
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("doc_string")
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    # Graphs within nodes see the names of the one around them: they keep what their maker gave.
    if not graph.sparse_initializer and not any(subgraphs(node) for node in graph.node):
        _shorten(graph)


def saved(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model to a file; the same model always has the same bytes."""
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def _shorten(graph: onnx.GraphProto) -> None:
    """Name nodes and inner values by number, in order: the same graph always has the same bytes."""
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    numbers = itertools.count()
    short: dict[str, str] = {}

    def rename(name: str) -> str:
        if name in kept:
            return name
        if name not in short:
            short[name] = f"v{next(numbers)}"
        return short[name]

    for index, node in enumerate(graph.node):
        node.name = f"n{index}"
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    for initializer in graph.initializer:
        initializer.name = rename(initializer.name)


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The subgraphs of a node: of If, Loop and Scan."""
    return [graph for a in node.attribute for graph in ([a.g] if a.HasField("g") else [*a.graphs])]


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node of a graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from nodes(inner)


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor of a graph and of its subgraphs: weights and constants."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for a in node.attribute:
            yield from ([a.t] if a.HasField("t") else a.tensors)
            for sparse in [a.sparse_tensor] if a.HasField("sparse_tensor") else a.sparse_tensors:
                yield from (sparse.values, sparse.indices)
        for inner in subgraphs(node):
            yield from tensors(inner)


def parameters(graph: onnx.GraphProto) -> int:
    """How many numbers are in the weights of a graph."""
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    return sum(int(np.prod(t.dims)) for t in graph.initializer if t.data_type in floats)


def unfolded_bytes(path: Path) -> int:
    """What the weights of a file take in memory: those that are cast or dequantized, unfolded to four bytes each."""
    graph = onnx.load(path, load_external_data=False).graph
    unfolding = ("Cast", "DequantizeLinear")
    widened = {node.input[0] for node in nodes(graph) if node.op_type in unfolding and node.input}
    total: int = sum(math.prod(sparse.dims) * UNFOLDED_BYTES for sparse in graph.sparse_initializer)
    for tensor in graph.initializer:
        plain = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        size = max(UNFOLDED_BYTES, plain) if tensor.name in widened else plain
        total += math.prod(tensor.dims) * size
    return total


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)
