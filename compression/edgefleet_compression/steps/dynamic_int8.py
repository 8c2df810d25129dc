"""Dynamic int8: linear and recurrent layers multiply in 8 bits, with ranges of activations found as they run."""

from collections import Counter
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import onnx

EIGHT_BIT = {"MatMulInteger": "MatMul", "DynamicQuantizeMatMul": "MatMul", "DynamicQuantizeLSTM": "LSTM"}
IN_FLOAT = ("GRU", "RNN", "LSTM", "MatMul", "Gemm")


class DynamicInt8Config(StepConfig):
    """Weights of MatMul, Gemm and recurrent layers in 8 bits; ranges of activations are found as it runs."""

    per_channel: bool = True


STEP = Step(
    name="dynamic_int8",
    config=DynamicInt8Config,
    consumes=FILE,
    produces="quantized",
    technique="quantize",
    search=NotSearched("it pays only for networks that are mostly linear or recurrent"),
    needs=frozenset({"val"}),
    revision=2,
)


def run(state: OnnxState, config: DynamicInt8Config, context: Context) -> StepResult:
    """Quantize with onnxruntime; convolutions stay in float, where 8 bits would run slower than fp32.

    Weights are u8 as activations are, whose product saturates on no processor, and one file gives the same answers
    everywhere. The kernel of LSTM makes s8 of them, whose products saturate on x86 without VNNI: beside an LSTM all
    weights have 7 bits (29 dB there instead of 13, 32 elsewhere). A range covers a whole batch, so that an
    answer may depend on what else is in it.

    Raises:
        NothingChanged: onnxruntime found nothing to quantize.
        StepError: the result doesn't run, or its answers are noise.
    """
    import onnx

    from edgefleet_compression.onnx_graphs.answers import CHECKED_SAMPLES, HALF, check_runs
    from edgefleet_compression.onnx_graphs.foreign import told_by
    from edgefleet_compression.onnx_graphs.graph import nodes, saved
    from edgefleet_compression.onnx_graphs.int8 import INSTEAD, QUANTIZER, quiet
    from edgefleet_compression.onnx_graphs.linear import gemms_to_matmuls
    from edgefleet_compression.onnx_graphs.stripping import strip

    plain, path = context.folder / "plain.onnx", context.folder / "dynamic.onnx"
    model = onnx.load(state.path)
    gemms_to_matmuls(model)
    del model.graph.value_info[:]  # those of a transposed weight would contradict what is inferred
    misread = _misread(model.graph)
    saved(model, plain)
    context.progress(0.2, "quantizing")
    with quiet(), told_by("dynamic_int8", QUANTIZER, INSTEAD):
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            plain,
            path,
            op_types_to_quantize=["MatMul", "LSTM"],
            per_channel=config.per_channel,
            weight_type=QuantType.QUInt8,
            reduce_range=any(node.op_type == "LSTM" for node in nodes(model.graph)),
            nodes_to_exclude=misread,
        )
    made = onnx.load(path)
    layers = Counter(EIGHT_BIT[node.op_type] for node in nodes(made.graph) if node.op_type in EIGHT_BIT)
    left = Counter(node.op_type for node in nodes(made.graph) if node.op_type in IN_FLOAT)
    if not layers:
        raise NothingChanged(f"dynamic_int8 changed nothing: {_why(left)}")
    strip(made)
    saved(made, path)
    asked = context.source.asked("val", CHECKED_SAMPLES)
    near = check_runs("dynamic_int8", state.path, path, asked, context.source.judge, HALF)
    log = {"layers": dict(layers), "in_float": dict(left), **near.as_dict()}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})


def _misread(graph: "onnx.GraphProto") -> list[str]:
    """LSTMs that share weights with another node: the library would reshape these twice."""
    from edgefleet_compression.onnx_graphs.names import readers

    for index, node in enumerate(graph.node):
        node.name = node.name or f"n{index}"
    used = readers(graph)
    return [n.name for n in graph.node if n.op_type == "LSTM" and any(used[name] > 1 for name in n.input[1:3])]


def _why(left: Counter[str]) -> str:
    if not left:
        return "the graph has no linear or recurrent layer: use static_int8"
    found = ", ".join(f"{count} {name}" for name, count in left.items())
    return f"onnxruntime has no 8-bit kernel for its layers ({found}), or their weights are computed: drop the step"
