"""Weight-only quantization: weights of linear layers in blocks of 8, 4 or 2 bits, multiplied as they are stored."""

from typing import Annotated, Literal

from pydantic import Field

from edgefleet_compression.step import (
    FILE,
    Context,
    NothingChanged,
    NotSearched,
    OnnxState,
    Step,
    StepConfig,
    StepResult,
)

KERNEL_DB = {False: 60.0, True: 20.0}
"""How close the kernel must be to its own weights in fp32; with activations in 8 bits (accuracy_level 4) less."""
IN_8_BITS = 4


class WeightOnlyConfig(StepConfig):
    """Weights of MatMul in blocks of `block` numbers with a scale each, multiplied by onnxruntime's MatMulNBits."""

    bits: Literal[2, 4, 8] = 4
    block: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = True
    accuracy_level: Annotated[int, Field(ge=0, le=4)] = 4


STEP = Step(
    name="weight_only",
    config=WeightOnlyConfig,
    consumes=FILE,
    produces="quantized",
    technique="quantize",
    search=NotSearched("it pays only for large linear layers, on devices whose onnxruntime has the kernel"),
    needs=frozenset({"val"}),
)


def run(state: OnnxState, config: WeightOnlyConfig, context: Context) -> StepResult:
    """Quantize with onnxruntime, round to nearest, a scale for each block of a column; Gemm is rewritten before.

    The kernel is compared with its own weights unfolded to fp32, and the whole file with the one that was given.

    Raises:
        NothingChanged: the graph has no linear layer with a stored weight.
        StepError: the kernel doesn't run, or its answers are noise.
    """
    import onnx

    from edgefleet_compression.onnx_graphs.answers import CHECKED_SAMPLES, HALF, Nearness, check_runs
    from edgefleet_compression.onnx_graphs.foreign import told_by
    from edgefleet_compression.onnx_graphs.graph import nodes, saved
    from edgefleet_compression.onnx_graphs.int8 import INSTEAD, QUANTIZER, quiet
    from edgefleet_compression.onnx_graphs.linear import gemms_to_matmuls
    from edgefleet_compression.onnx_graphs.nbits import KERNEL, put_back
    from edgefleet_compression.onnx_graphs.stripping import strip

    model = onnx.load(state.path)
    gemms = gemms_to_matmuls(model)
    unfolded = onnx.ModelProto()
    unfolded.CopyFrom(model)
    context.progress(0.2, f"weights in {config.bits} bits")
    with quiet(), told_by("weight_only", QUANTIZER, INSTEAD):
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
    products = {node.output[0] for node in nodes(unfolded.graph) if node.op_type == "MatMul"}
    kernels = [node for node in nodes(made.graph) if node.op_type == KERNEL and node.output[0] in products]
    if not kernels:
        raise NothingChanged(
            "weight_only changed nothing: the graph has no linear layer with a stored fp32 weight: "
            "use storage_quant, which takes convolutions too, and use either only once"
        )
    put_back(unfolded.graph, made.graph, kernels)
    strip(made)
    path = saved(made, context.folder / "weights.onnx")
    asked, judge = context.source.asked("val", CHECKED_SAMPLES), context.source.judge
    context.progress(0.7, "comparing with fp32")
    reference = saved(unfolded, context.folder / "unfolded.onnx")
    exact = Nearness(KERNEL_DB[config.accuracy_level == IN_8_BITS], 0.0)
    kernel = check_runs("weight_only, its kernel", reference, path, asked, judge, exact)
    near = check_runs("weight_only", state.path, path, asked, judge, HALF)
    log = {"layers": len(kernels), "gemms_rewritten": gemms, "kernel_db": round(kernel.sqnr_db, 2), **near.as_dict()}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})
