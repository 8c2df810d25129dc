"""Weights of linear layers in a few bits by blocks, as onnxruntime's MatMulNBits stores them."""

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgefleet_compression.onnx_graphs.graph import nodes, tensors

KERNEL = "MatMulNBits"


def put_back(graph: onnx.GraphProto, made: onnx.GraphProto, kernels: list[onnx.NodeProto]) -> None:
    """Let the float graph multiply by the weights that the kernels multiply by, unfolded; in place.

    A weight that is read elsewhere too stays as it is there.
    """
    quantized = {tensor.name: tensor for tensor in tensors(made)}
    weights = {tensor.name: tensor for tensor in tensors(graph)}
    by_output = {node.output[0]: node for node in nodes(graph) if node.op_type == "MatMul"}
    for kernel in kernels:
        weight = weights[by_output[kernel.output[0]].input[1]]
        values = unfold(kernel, quantized).reshape(tuple(weight.dims))
        own = f"{kernel.output[0]}_unfolded"
        graph.initializer.append(numpy_helper.from_array(values, own))
        by_output[kernel.output[0]].input[1] = own


def unfold(kernel: onnx.NodeProto, stored: dict[str, TensorProto]) -> NDArray[np.float32]:
    """The weight float32 [K, N] that a MatMulNBits node multiplies by (onnxruntime, ContribOperators.md).

    Args:
        kernel: the node.
        stored: the graph's initializers by name: packed uint8 [N, blocks, bytes], scales, perhaps zero points.
    """
    given = {a.name: a.i for a in kernel.attribute}
    rows, columns, bits = given["K"], given["N"], given["bits"]
    blocks = math.ceil(rows / given["block_size"])
    packed, scales, *zeros = (numpy_helper.to_array(stored[name]) for name in kernel.input[1:])
    levels = _unpacked(packed.reshape(columns, blocks, -1), bits)
    zero = _unpacked(zeros[0].reshape(columns, -1), bits)[:, :blocks, None] if zeros else 2.0 ** (bits - 1)
    values = (levels - zero) * scales.reshape(columns, blocks, 1)
    return np.ascontiguousarray(values.reshape(columns, -1)[:, :rows].T, np.float32)


def _unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.float32]:
    """Unsigned numbers of `bits` bits each, the lowest first, unpacked along the last axis."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return numbers.reshape(*packed.shape[:-1], -1).astype(np.float32)
