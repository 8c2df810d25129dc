"""A graph as a session runs it: constants folded, layers fused."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from edgefleet_compression.onnx_graphs.graph import subgraphs
from edgefleet_compression.onnx_graphs.options import one_thread
from edgefleet_compression.onnx_graphs.stripping import strip


def folded(model: onnx.ModelProto, target: Path) -> onnx.ModelProto:
    """The graph after onnxruntime's basic rewrites, which hold on every processor.

    Args:
        model: what a session is given.
        target: where to write.
    """
    options = one_thread()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(target)


def runs_alike(one: onnx.ModelProto, other: onnx.ModelProto) -> bool:
    """Whether two folded graphs have the same layers in the same order with exactly the same constants."""
    return _layers(_plain(one).graph) == _layers(_plain(other).graph)


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with names by the order of its layers."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    strip(made)
    return made


def _layers(graph: onnx.GraphProto) -> list[object]:
    layers: list[object] = [
        (node.op_type, node.domain, list(node.input), list(node.output), sorted(map(_setting, node.attribute)))
        for node in graph.node
    ]
    constants = sorted((t.name, t.data_type, tuple(t.dims), _content(t)) for t in graph.initializer)
    within = [_layers(inner) for node in graph.node for inner in subgraphs(node)]
    return [*layers, *constants, *within]


def _setting(attribute: onnx.AttributeProto) -> bytes:
    """What an attribute says; graphs are compared as such."""
    if attribute.HasField("g") or attribute.graphs:
        return attribute.name.encode()
    return bytes(attribute.SerializeToString(deterministic=True))


def _content(tensor: onnx.TensorProto) -> bytes:
    return np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes()
