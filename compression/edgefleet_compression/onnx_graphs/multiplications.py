"""How often the layers of a graph multiply for one sample."""

import math
from collections.abc import Collection, Mapping

import onnx

from edgefleet_compression.onnx_graphs.batches import run_once
from edgefleet_compression.onnx_graphs.graph import attribute
from edgefleet_compression.samples import Feed

_Shape = tuple[int, ...]


def multiplications(model: onnx.ModelProto, layers: Collection[str], one: Feed) -> dict[str, int]:
    """The multiplications of convolutions and linear layers, by running the graph once; at least 1 each.

    Args:
        model: the graph.
        layers: names of its Conv, Gemm and MatMul nodes.
        one: a sample, as it takes them.
    """
    shapes: dict[str, _Shape] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes |= {name: tensor.shape for name, tensor in {**one, **run_once(model, one)}.items()}
    return {node.name: max(1, _of(node, shapes)) for node in model.graph.node if node.name in layers}


def _of(node: onnx.NodeProto, shapes: Mapping[str, _Shape]) -> int:
    """Of a node: for each number that it gives, as many as it adds up."""
    given = math.prod(shapes[node.output[0]])
    if node.op_type == "Conv":
        return given * math.prod(shapes[node.input[1]][1:])
    rows = shapes[node.input[0]]
    return given * (rows[0] if node.op_type == "Gemm" and attribute(node, "transA", 0) else rows[-1])
