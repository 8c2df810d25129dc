"""Accuracy-controlled int8: the layers that cost most stay in float, as few as the target needs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgefleet_compression.errors import NothingChanged, StepError
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.onnx_graphs.graph import strip
from edgefleet_compression.onnx_graphs.int8 import quantize, quantized_layers
from edgefleet_compression.onnx_graphs.qdq import in_float
from edgefleet_compression.onnx_graphs.session import Session, inputs
from edgefleet_compression.recipes.step_configs import AccuracyInt8Config
from edgefleet_compression.step import Context, StepResult

SENSITIVITY_SAMPLES = 64
Logits = NDArray[np.float32]


def accuracy_int8(state: OnnxState, config: AccuracyInt8Config, context: Context) -> StepResult:
    """Quantize all layers, rank them by what each alone costs, and give float back to the worst until val holds.

    The ranking compares logits on calib with every layer but one in float. How many layers go back is found by
    halving on val: labels where there are some, else agreement with the float file. After the idea of NNCF's
    quantize_with_accuracy_control, without its quantizing anew for each layer.

    Raises:
        StepError: the instruction set has no scheme, or the target needs more layers in float than are allowed.
        NothingChanged: nothing was found to quantize.
    """
    if context.scheme is None:
        raise StepError("accuracy_int8: this instruction set has no int8 scheme: use a recipe with storage_quant")
    scale = context.source.card.preprocessing.scale
    calib = inputs(context.source.data.split("calib").first(config.samples).x, scale)
    path = context.folder / "quantized.onnx"
    context.progress(0.05, f"calibrating on {len(calib)} samples")
    quantize(state.path, path, calib, config, context.scheme, keep_activations=True)
    source, quantized = onnx.load(state.path), onnx.load(path)
    layers = quantized_layers(quantized)
    if not layers:
        raise NothingChanged("accuracy_int8 found nothing to quantize in the graph: drop the step")
    target = _Target(state.path, context)
    most = int(config.most_float * len(layers))
    kept, drop, worst = 0, target.drop(_saved(quantized, path)), []
    all_int8 = drop
    if drop > config.max_drop:
        worst = _by_cost(source, quantized, layers, calib[:SENSITIVITY_SAMPLES], context)
        kept, drop = _fewest(source, quantized, worst, most, config.max_drop, target, context)
    model = in_float(quantized, source, worst[:kept])
    strip(model)
    _saved(model, path)
    log = {"scheme": context.scheme.as_dict(), "layers": len(layers), "in_float": kept, "drop": round(drop, 4)}
    return StepResult(OnnxState(path), {**log, "drop_all_int8": round(all_int8, 4), "file_bytes": path.stat().st_size})


class _Target:
    """What a file loses on val against the float file: right answers, or agreement where there are no labels."""

    def __init__(self, path: Path, context: Context) -> None:
        val = context.source.data.split("val")
        self._x = inputs(val.x, context.source.card.preprocessing.scale)
        top1 = Session(path).logits(self._x).argmax(1)
        self._wanted = top1 if val.y is None else val.y
        self._share = float((top1 == self._wanted).mean())

    def drop(self, path: Path) -> float:
        """The loss as a share of val."""
        return self._share - float((Session(path).logits(self._x).argmax(1) == self._wanted).mean())


def _by_cost(
    source: onnx.ModelProto, quantized: onnx.ModelProto, layers: Sequence[str], x: Logits, context: Context
) -> list[str]:
    """The layers, first the one whose rounding alone changes the logits most."""
    path = context.folder / "isolated.onnx"
    whole = Session(_saved(source, path)).logits(x)
    costs: dict[str, float] = {}
    for number, layer in enumerate(layers):
        context.progress(0.1 + 0.5 * number / len(layers), f"layer {number + 1} of {len(layers)} alone in 8 bits")
        alone = in_float(quantized, source, set(layers) - {layer})
        costs[layer] = float(np.square(Session(_saved(alone, path)).logits(x) - whole).mean())
    return sorted(layers, key=lambda layer: -costs[layer])


def _fewest(
    source: onnx.ModelProto,
    quantized: onnx.ModelProto,
    worst: Sequence[str],
    most: int,
    max_drop: float,
    target: _Target,
    context: Context,
) -> tuple[int, float]:
    """How many of the worst layers must stay in float, by halving, and what is lost then."""
    path = context.folder / "tried.onnx"

    def drop_with(count: int) -> float:
        context.progress(0.6, f"{count} layers in float")
        return target.drop(_saved(in_float(quantized, source, worst[:count]), path))

    high, reached = most, drop_with(most)
    if reached > max_drop:
        raise StepError(
            f"accuracy_int8: with {most} of {len(worst)} layers in float {reached * 100:.2f} points are still lost, "
            f"{max_drop * 100:.2f} are allowed: raise max_drop or most_float"
        )
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        drop = drop_with(middle)
        if drop <= max_drop:
            high, reached = middle, drop
        else:
            low = middle
    return high, reached


def _saved(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path
