"""A graph as a session runs it: constants folded, layers fused."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from edgefleet_compression.onnx_graphs.session import ERRORS_ONLY


def folded(model: onnx.ModelProto, target: Path) -> onnx.ModelProto:
    """The graph after onnxruntime's basic rewrites, which hold on every processor.

    Args:
        model: what a session is given.
        target: where to write.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = ERRORS_ONLY
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(target)


def runs_alike(one: onnx.ModelProto, other: onnx.ModelProto) -> bool:
    """Whether two folded graphs have the same layers in the same order with exactly the same constants."""
    return _layers(one) == _layers(other)


def _layers(model: onnx.ModelProto) -> list[tuple[object, ...]]:
    constants = {t.name: _content(t) for t in model.graph.initializer}
    return [
        (
            node.op_type,
            node.domain,
            sorted(a.SerializeToString(deterministic=True) for a in node.attribute),
            [constants.get(name) for name in node.input],
        )
        for node in model.graph.node
    ]


def _content(tensor: onnx.TensorProto) -> tuple[int, tuple[int, ...], bytes]:
    return tensor.data_type, tuple(tensor.dims), np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes()
