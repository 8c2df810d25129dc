"""Static int8: weights and activations in 8 bits, in the types that the device's instruction set multiplies fast."""

from edgefleet_compression.step import (
    EXPORT,
    FILE,
    Context,
    NothingChanged,
    OnnxState,
    Searched,
    Step,
    StepError,
    StepResult,
    Tail,
    step,
)
from edgefleet_compression.step_settings import Int8Config


class StaticInt8Config(Int8Config):
    """Weights and activations in 8 bits."""


STEP = Step(
    name="static_int8",
    config=StaticInt8Config,
    consumes=FILE,
    produces="quantized",
    technique="quantize",
    search=Searched(
        tails=(
            Tail("int8", "static int8", (EXPORT, step("static_int8")), rank=1.0),
            Tail(
                "int8-percentile",
                "static int8, ranges without the rarest values",
                (EXPORT, step("static_int8", calibration="percentile")),
                rank=2.3,
            ),
        )
    ),
    needs=frozenset({"calib", "scheme"}),
    revision=4,
)


def run(state: OnnxState, config: StaticInt8Config, context: Context) -> StepResult:
    """Quantize with onnxruntime, QDQ form, ranges of activations from the calib split.

    Raises:
        StepError: the instruction set has no scheme.
        StepError: onnxruntime cannot quantize the graph, or the answers are noise.
        NothingChanged: onnxruntime found nothing to quantize.
    """
    import onnx

    from edgefleet_compression.onnx_graphs.answers import CHECKED_SAMPLES, HALF, check_runs
    from edgefleet_compression.onnx_graphs.foreign import told_by
    from edgefleet_compression.onnx_graphs.graph import saved
    from edgefleet_compression.onnx_graphs.int8 import INSTEAD, QUANTIZER, quantize, quantized_layers
    from edgefleet_compression.onnx_graphs.stripping import strip

    if context.scheme is None:
        raise StepError("static_int8: this instruction set has no int8 scheme: use a recipe with storage_quant")
    asked = context.source.asked("calib", config.samples)
    path = context.folder / "quantized.onnx"
    context.progress(0.2, f"calibrating on {len(asked)} samples")
    with told_by("static_int8", QUANTIZER, INSTEAD):
        quantize(state.path, path, asked, config, context.scheme)
    model = onnx.load(path)
    layers = len(quantized_layers(model))
    if not layers:
        raise NothingChanged("static_int8 found no layer with weights to quantize in the graph: drop the step")
    strip(model)
    saved(model, path)
    near = check_runs("static_int8", state.path, path, asked.first(CHECKED_SAMPLES), context.source.judge, HALF)
    nodes = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
    log = {"scheme": context.scheme.as_dict(), "layers": layers, "quantize_nodes": nodes}
    log |= {"calibration_samples": len(asked), **near.as_dict()}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})
