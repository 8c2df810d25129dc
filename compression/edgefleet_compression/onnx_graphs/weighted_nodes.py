"""The layers of an ONNX file whose weights can be stored: convolutions and linear layers."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgefleet_compression.grid import LayerKind, Weights, layer_kind
from edgefleet_compression.onnx_graphs.graph import attribute


@dataclass(frozen=True)
class WeightedNode:
    """A layer: its stored weight, which axis of it counts outputs, and what kind of layer it is."""

    weight: TensorProto
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


def weighted_nodes(graph: onnx.GraphProto) -> list[WeightedNode]:
    """Every layer with an fp32 weight of its own, in the order of the graph; a shared weight is named once."""
    weights = {w.name: w for w in graph.initializer if w.data_type == TensorProto.FLOAT and len(w.dims) > 1}
    found = []
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in weights:
            continue
        weight = weights.pop(node.input[1])
        found.append(WeightedNode(weight, _output_axis(node, weight), _kind(node, weight, graph.input[0].name)))
    return found


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
