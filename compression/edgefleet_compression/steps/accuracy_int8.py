"""Accuracy-controlled int8: layers stay in float, those that lose most for their work, as few as a target needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgefleet_compression.schemes import Scheme
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
from edgefleet_compression.step_settings import Calibration, Int8Config
from edgefleet_protocol.fields import Share

if TYPE_CHECKING:
    import onnx

    from edgefleet_compression.onnx_graphs.asked import Asked


class AccuracyInt8Config(Int8Config):
    """Static int8 that keeps layers in float, those that lose most for their work first, until answers are near enough.

    `max_drop` is the largest loss of top-1 on val plus one standard error, or of agreement with the float file without
    labels; `most_float` the largest share of layers that may stay in float. `correct_biases` subtracts from the biases
    what rounding the weights adds on average over calib. With `compare_minmax`, ranges by minmax are tried beside those
    of `calibration`, and taken where less is lost on val: the rarest values may be those that a detector goes by.
    """

    calibration: Calibration = "mse"
    correct_biases: bool = True
    compare_minmax: bool = True
    max_drop: Share = 0.005
    most_float: Share = 0.5


STEP = Step(
    name="accuracy_int8",
    config=AccuracyInt8Config,
    consumes=FILE,
    produces="quantized",
    technique="quantize",
    search=Searched(
        tails=(Tail("int8-kept", "static int8, the worst layers in float", (EXPORT, step("accuracy_int8")), rank=1.1),)
    ),
    needs=frozenset({"calib", "val", "scheme"}),
    revision=6,
)


def run(state: OnnxState, config: AccuracyInt8Config, context: Context) -> StepResult:
    """Quantize all layers, rank them by what each alone loses, and return the worst to float until val holds.

    Before that, biases are corrected for what rounding the weights shifts on average: in depthwise layers, whose inputs
    are all positive and whose few weights do not even out, that is most of the loss. The ranking compares answers on
    calib with every layer but one in float, and counts the loss of each by its multiplications, which float makes
    slower. How many layers return is found on val: by labels if there are any, else by agreement with the float file.
    After NNCF's quantize_with_accuracy_control, but without quantizing anew for each layer.

    Raises:
        StepError: the instruction set has no scheme, or the target needs more layers in float than allowed.
        NothingChanged: nothing was found to quantize.
    """
    from edgefleet_compression.float_layers import SENSITIVITY_SAMPLES, FileLoss, by_cost, fewest
    from edgefleet_compression.onnx_graphs.foreign import told_by
    from edgefleet_compression.onnx_graphs.graph import saved
    from edgefleet_compression.onnx_graphs.int8 import INSTEAD, QUANTIZER, quantized_layers
    from edgefleet_compression.onnx_graphs.qdq import in_float
    from edgefleet_compression.onnx_graphs.stripping import strip

    if context.scheme is None:
        raise StepError("accuracy_int8: this instruction set has no int8 scheme: use a recipe with storage_quant")
    calib = context.source.asked("calib", config.samples)
    path = context.folder / "quantized.onnx"
    context.progress(0.02, f"watching {len(calib)} samples of calib")
    with told_by("accuracy_int8", QUANTIZER, INSTEAD):
        source, tried = _quantized(state.path, path, calib, config, context.scheme)
    if not quantized_layers(tried[0].model):
        raise NothingChanged("accuracy_int8 found nothing to quantize in the graph: drop the step")
    target = FileLoss(state.path, context)
    losses = [target.loss(saved(in_float(one.model, source, []), path)) for one in tried]
    loss, best = min(zip(losses, tried, strict=True), key=lambda pair: pair[0].drop)
    all_int8, quantized, layers = loss, best.model, quantized_layers(best.model)
    most = int(config.most_float * len(layers))
    kept, worst = 0, list[str]()
    if not loss.within(config.max_drop):
        worst = by_cost(source, quantized, layers, calib.first(SENSITIVITY_SAMPLES), context)
        kept, loss = fewest(source, quantized, worst, most, config.max_drop, target, context)
    model = in_float(quantized, source, worst[:kept])
    strip(model)
    saved(model, path)
    log = {"scheme": context.scheme.as_dict(), "layers": len(layers), "in_float": kept, "drop": round(loss.drop, 4)}
    log |= {"drop_all_int8": round(all_int8.drop, 4), "biases_corrected": best.biases, "calibration": best.calibration}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})


@dataclass(frozen=True)
class _Quantized:
    """All of a graph in 8 bits with ranges of one kind, and how many of its biases were corrected."""

    calibration: Calibration
    model: "onnx.ModelProto"
    biases: int


def _quantized(
    given: Path, path: Path, calib: "Asked", config: AccuracyInt8Config, scheme: Scheme
) -> "tuple[onnx.ModelProto, list[_Quantized]]":
    """The float graph, and all of it in 8 bits, for each kind of ranges that is tried."""
    import onnx

    from edgefleet_compression.onnx_graphs.activations import observe
    from edgefleet_compression.onnx_graphs.biases import correct_biases, give_biases
    from edgefleet_compression.onnx_graphs.graph import saved
    from edgefleet_compression.onnx_graphs.int8 import quantize
    from edgefleet_compression.onnx_graphs.qdq import answers_in_float

    source = onnx.load(given)
    for index, node in enumerate(source.graph.node):
        node.name = f"n{index}"  # by which the layers of both graphs find each other: some files name none
    give_biases(source)
    biased = saved(source, path.with_name("biased.onnx"))
    kinds = dict.fromkeys([config.calibration, *(("minmax",) if config.compare_minmax else ())])
    seen = observe(source, calib) if config.correct_biases or {"mse", "minmax"} & kinds.keys() else {}
    tried = []
    for kind in kinds:
        one = config.model_copy(update={"calibration": kind})
        quantize(biased, path, calib, one, scheme, keep_activations=True, seen=seen)
        quantized = onnx.load(path)
        answers_in_float(quantized)
        biases = correct_biases(quantized, source, seen) if config.correct_biases else 0
        tried.append(_Quantized(kind, quantized, biases))
    return source, tried
