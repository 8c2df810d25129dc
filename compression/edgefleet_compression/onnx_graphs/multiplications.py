"""How often the layers of a graph multiply for one sample."""

import math
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx

from edgefleet_compression.onnx_graphs.batches import given_by, watched
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
    names = given_by(model)
    with tempfile.TemporaryDirectory(prefix="edgefleet-watched-") as folder:
        answers = watched(model, names, Path(folder)).run(names, dict(one))
    shapes: dict[str, _Shape] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    given = {**one, **dict(zip(names, answers, strict=True))}
    shapes |= {name: value.shape for name, value in given.items() if isinstance(value, np.ndarray)}
    return {node.name: max(1, _of(node, shapes)) for node in model.graph.node if node.name in layers}


def _of(node: onnx.NodeProto, shapes: Mapping[str, _Shape]) -> int:
    """Of a node: for each number that it gives, as many as it adds up."""
    given = math.prod(shapes[node.output[0]])
    if node.op_type == "Conv":
        return given * math.prod(shapes[node.input[1]][1:])
    rows = shapes[node.input[0]]
    return given * (rows[0] if node.op_type == "Gemm" and attribute(node, "transA", 0) else rows[-1])
