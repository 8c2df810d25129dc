"""A graph as a session runs it: constants folded, layers fused."""

from pathlib import Path

import onnx
import onnxruntime

from edgefleet_compression.onnx_graphs.options import one_thread


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
