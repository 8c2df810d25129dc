"""The layers of an ONNX file whose weights can be stored: convolutions and linear layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgefleet_compression.grid import LayerKind, Weights, layer_kind
from edgefleet_compression.onnx_graphs.graph import attribute, subgraphs

LAYERS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class WeightedNode:
    """A layer: its stored weight, the graph that stores it, which axis counts outputs, and what kind of layer it is."""

    weight: TensorProto
    home: onnx.GraphProto
    axis: int
    kind: LayerKind

    @property
    def name(self) -> str:
        """The weight's name."""
        return self.weight.name

    def values(self) -> Weights:
        """The weight float32 [outputs, ...]."""
        return np.moveaxis(numpy_helper.to_array(self.weight), self.axis, 0)

    def replace(self, values: Weights) -> None:
        """Store other values float32 [outputs, ...] in its place."""
        ordered = np.ascontiguousarray(np.moveaxis(values, 0, self.axis), np.float32)
        self.weight.CopyFrom(numpy_helper.from_array(ordered, self.weight.name))


@dataclass
class _Stored:
    """A tensor that may be the weight of a layer, and whether a layer was found that takes it."""

    weight: TensorProto
    home: onnx.GraphProto
    taken: bool = False


def weighted_nodes(graph: onnx.GraphProto) -> list[WeightedNode]:
    """Every layer with a finite fp32 weight of its own, in the order of the graph; a shared weight is named once.

    Layers of graphs within nodes count too: their weights lie there, or in a graph around.
    """
    return list(_found(graph, {}, graph.input[0].name))


def _found(graph: onnx.GraphProto, around: Mapping[str, _Stored], given: str) -> Iterator[WeightedNode]:
    known = {**around, **{t.name: _Stored(t, graph) for t in graph.initializer if _is_weight(t)}}
    for node in graph.node:
        stored = known.get(node.input[1]) if node.op_type in LAYERS else None
        if stored is not None and not stored.taken:
            stored.taken = True
            axis, kind = _output_axis(node, stored.weight), _kind(node, stored.weight, given)
            yield WeightedNode(stored.weight, stored.home, axis, kind)
        for inner in subgraphs(node):
            yield from _found(inner, known, given)


def _is_weight(tensor: TensorProto) -> bool:
    if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2 or 0 in tensor.dims:
        return False
    return bool(np.isfinite(numpy_helper.to_array(tensor)).all())


def _kind(node: onnx.NodeProto, weight: TensorProto, graph_input: str) -> LayerKind:
    return layer_kind(
        first=node.input[0] == graph_input,
        rank=len(weight.dims) if node.op_type == "Conv" else 2,
        kernel=int(np.prod(weight.dims[2:])),
        groups=attribute(node, "group", 1),
    )


def _output_axis(node: onnx.NodeProto, weight: TensorProto) -> int:
    if node.op_type == "Conv":
        return 0
    return 0 if attribute(node, "transB", 0) else len(weight.dims) - 1
