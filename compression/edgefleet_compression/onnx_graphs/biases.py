"""Bias correction: subtract from a layer's bias what rounding its weights adds to its outputs on average.

After Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", section 4.2, with
the mean of each input taken from samples.
"""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from edgefleet_compression.onnx_graphs.activations import Array, Seen

WITH_BIAS = ("Conv", "Gemm")


def give_biases(model: onnx.ModelProto) -> None:
    """Give layers without a bias one of zeros, so that there is one to correct; in place."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in WITH_BIAS and len(node.input) == 2 and node.input[1] in stored:
            zeros = np.zeros(_channels(node, list(stored[node.input[1]].dims)), np.float32)
            name = f"{node.output[0]}_bias"
            model.graph.initializer.append(numpy_helper.from_array(zeros, name))
            node.input.append(name)


def correct_biases(quantized: onnx.ModelProto, source: onnx.ModelProto, seen: Mapping[str, Seen]) -> int:
    """Move the biases of a graph in QDQ form by what its rounded weights shift; in place.

    Args:
        quantized: what onnxruntime made of `source`.
        source: the float graph, with the same names of nodes.
        seen: the inputs of its layers on samples.

    Returns:
        How many layers were corrected.
    """
    stored = {tensor.name: tensor for tensor in quantized.graph.initializer}
    floats = {tensor.name: tensor for tensor in source.graph.initializer}
    unfold = {n.output[0]: n for n in quantized.graph.node if n.op_type == "DequantizeLinear"}
    originals = {node.name: node for node in source.graph.node}
    corrected = 0
    for node in quantized.graph.node:
        original = originals.get(node.name)
        if original is None or node.op_type not in WITH_BIAS or len(node.input) < 3 or node.input[1] not in unfold:
            continue
        watched, weight = seen.get(original.input[0]), floats.get(original.input[1])
        if weight is None or watched is None or watched.mean is None:
            continue
        rounded = _unfolded(unfold[node.input[1]], stored)
        if rounded is None:
            continue
        shift = _mean_answer(original, watched.mean[None], numpy_helper.to_array(weight) - rounded, source)
        corrected += _add(node.input[2], shift, unfold, stored)
    return corrected


def _channels(node: onnx.NodeProto, shape: list[int]) -> int:
    given = {a.name: a.i for a in node.attribute}
    return int(shape[0] if node.op_type == "Conv" or given.get("transB") else shape[1])


def _unfolded(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto]) -> Array | None:
    """The weights that a DequantizeLinear gives."""
    if any(name not in stored for name in node.input):
        return None
    parts = [numpy_helper.to_array(stored[name]).astype(np.float32) for name in node.input]
    shape = [1] * parts[0].ndim
    if parts[1].size > 1:
        shape[next((int(a.i) for a in node.attribute if a.name == "axis"), 1)] = -1
    zero = parts[2].reshape(shape) if len(parts) == 3 else np.float32(0)
    return np.asarray((parts[0] - zero) * parts[1].reshape(shape), np.float32)


def _mean_answer(node: onnx.NodeProto, x: Array, weight: Array, source: onnx.ModelProto) -> Array:
    """What a layer with such weights and no bias gives to one input, by channel."""
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    alone.input[:], alone.output[:] = ["x", "w"], ["y"]
    graph = onnx.helper.make_graph(
        [alone],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=source.opset_import, ir_version=source.ir_version)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answer = np.asarray(session.run(None, {"x": x})[0])
    return np.asarray(answer.mean(axis=tuple(axis for axis in range(answer.ndim) if axis != 1)), np.float32)


def _add(name: str, shift: Array, unfold: Mapping[str, onnx.NodeProto], stored: Mapping[str, onnx.TensorProto]) -> bool:
    """Add to a bias, as it is stored; whether it could be."""
    if name in stored:
        whole = numpy_helper.to_array(stored[name])
        stored[name].CopyFrom(numpy_helper.from_array((whole + shift).astype(whole.dtype), name))
        return True
    if name not in unfold or any(part not in stored for part in unfold[name].input[:2]):
        return False
    integers, scale = (stored[part] for part in unfold[name].input[:2])
    steps = np.round(shift / numpy_helper.to_array(scale).reshape(-1)).astype(np.int64)
    limits = np.iinfo(np.int32)
    moved = np.clip(numpy_helper.to_array(integers).astype(np.int64) + steps, limits.min, limits.max)
    integers.CopyFrom(numpy_helper.from_array(moved.astype(np.int32), integers.name))
    return True
