"""Weight-only quantization: weights of linear layers in 8, 4 or 2 bits by blocks, multiplied as they are stored."""

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgefleet_compression.errors import NothingChanged
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.onnx_graphs.answers import CHECKED_SAMPLES, HALF, Logits, Nearness, check_runs
from edgefleet_compression.onnx_graphs.graph import saved, strip
from edgefleet_compression.onnx_graphs.int8 import quiet
from edgefleet_compression.onnx_graphs.linear import gemms_to_matmuls
from edgefleet_compression.onnx_graphs.session import inputs
from edgefleet_compression.recipes.step_configs import WeightOnlyConfig
from edgefleet_compression.step import Context, StepResult

KERNEL_DB = {False: 60.0, True: 20.0}
"""How near the kernel must be to its own weights in fp32; with activations in 8 bits (accuracy_level 4) it is less."""
IN_8_BITS = 4
KERNEL = "MatMulNBits"


def weight_only(state: OnnxState, config: WeightOnlyConfig, context: Context) -> StepResult:
    """Quantize with onnxruntime, round to nearest, a scale for each block of a column; Gemm is rewritten before.

    The kernel is held against its own weights unfolded to fp32, and the whole against the file that was given.

    Raises:
        NothingChanged: the graph holds no stored weight of a linear layer.
        StepError: the kernel doesn't run, or answers noise.
    """
    model = onnx.load(state.path)
    gemms = gemms_to_matmuls(model)
    unfolded = onnx.ModelProto()
    unfolded.CopyFrom(model)
    context.progress(0.2, f"weights in {config.bits} bits")
    with quiet():
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        quantizer = MatMulNBitsQuantizer(
            model,
            bits=config.bits,
            block_size=config.block,
            is_symmetric=config.symmetric,
            accuracy_level=config.accuracy_level,
        )
        quantizer.process()
    made: onnx.ModelProto = quantizer.model.model
    products = {node.output[0] for node in unfolded.graph.node if node.op_type == "MatMul"}
    kernels = [node for node in made.graph.node if node.op_type == KERNEL and node.output[0] in products]
    if not kernels:
        raise NothingChanged(
            "weight_only changed nothing: the graph holds no linear layer with a stored fp32 weight: "
            "use storage_quant, which takes convolutions too, and use either only once"
        )
    _put_back(unfolded.graph, made.graph, kernels)
    strip(made)
    path = saved(made, context.folder / "weights.onnx")
    x = context.source.data.split("val").first(CHECKED_SAMPLES).x
    samples: Logits = inputs(x, context.source.card.preprocessing.scale)
    context.progress(0.7, "comparing with fp32")
    reference = saved(unfolded, context.folder / "unfolded.onnx")
    exact = Nearness(KERNEL_DB[config.accuracy_level == IN_8_BITS], 0.0)
    kernel = check_runs("weight_only, its kernel", reference, path, samples, exact)
    near = check_runs("weight_only", state.path, path, samples, HALF)
    log = {"layers": len(kernels), "gemms_rewritten": gemms, "kernel_db": round(kernel.sqnr_db, 2), **near.as_dict()}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})


def _put_back(graph: onnx.GraphProto, made: onnx.GraphProto, kernels: list[onnx.NodeProto]) -> None:
    """Put the weights that the kernels multiply by, unfolded, into the float graph; in place."""
    quantized = {tensor.name: tensor for tensor in made.initializer}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    by_output = {node.output[0]: node for node in graph.node if node.op_type == "MatMul"}
    for kernel in kernels:
        weight = weights[by_output[kernel.output[0]].input[1]]
        values = unfold(kernel, quantized).reshape(tuple(weight.dims))
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))


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
