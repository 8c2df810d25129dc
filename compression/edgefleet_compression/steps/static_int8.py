"""Static int8: weights and activations in 8 bits, in the types that the device's instruction set multiplies fast."""

import onnx

from edgefleet_compression.errors import NothingChanged, StepError
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.onnx_graphs.graph import saved, strip
from edgefleet_compression.onnx_graphs.int8 import quantize, quantized_layers
from edgefleet_compression.onnx_graphs.session import inputs
from edgefleet_compression.recipes.step_configs import StaticInt8Config
from edgefleet_compression.step import Context, StepResult


def static_int8(state: OnnxState, config: StaticInt8Config, context: Context) -> StepResult:
    """Quantize with onnxruntime, QDQ form, ranges of activations from the calib split.

    Raises:
        StepError: the instruction set has no scheme.
        NothingChanged: onnxruntime found nothing to quantize.
    """
    if context.scheme is None:
        raise StepError("static_int8: this instruction set has no int8 scheme: use a recipe with storage_quant")
    x = context.source.data.split("calib").first(config.samples).x
    samples = inputs(x, context.source.card.preprocessing.scale)
    path = context.folder / "quantized.onnx"
    context.progress(0.2, f"calibrating on {len(x)} samples")
    quantize(state.path, path, samples, config, context.scheme)
    model = onnx.load(path)
    layers = len(quantized_layers(model))
    if not layers:
        raise NothingChanged("static_int8 found no layer with weights to quantize in the graph: drop the step")
    strip(model)
    saved(model, path)
    nodes = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
    log = {"scheme": context.scheme.as_dict(), "layers": layers, "quantize_nodes": nodes, "calibration_samples": len(x)}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})
