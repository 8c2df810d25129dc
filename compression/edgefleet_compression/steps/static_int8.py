"""Static int8: weights and activations in 8 bits, in the types that the device's instruction set multiplies fast."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgefleet_compression.errors import NothingChanged, StepError
from edgefleet_compression.graph import strip
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.session import inputs
from edgefleet_compression.states import OnnxState
from edgefleet_compression.step import Context, StepResult
from edgefleet_compression.step_configs import StaticInt8Config

BATCH = 64
TAILS = ("Softmax", "LogSoftmax", "Sigmoid")


def static_int8(state: OnnxState, config: StaticInt8Config, context: Context) -> StepResult:
    """Quantize with onnxruntime, QDQ form, ranges by the least and largest activation of the calib split.

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
    _quantize(state.path, path, samples, config.per_channel, context.scheme)
    model = onnx.load(path)
    strip(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    nodes = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if not nodes:
        raise NothingChanged("static_int8 found nothing to quantize in the graph: drop the step")
    log = {"scheme": context.scheme.as_dict(), "quantize_nodes": nodes, "calibration_samples": len(x)}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})


class _Calibration:
    """Batches of the calib split, in the form that onnxruntime's calibration reads."""

    def __init__(self, given: onnx.ValueInfoProto, samples: NDArray[np.float32]) -> None:
        kind = given.type.tensor_type
        size = kind.shape.dim[0].dim_value or BATCH
        typed = samples.astype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type), copy=False)
        self._batches: Iterator[NDArray[Any]] = iter(np.split(typed, range(size, len(typed), size)))
        self._name = given.name

    def get_next(self) -> dict[str, Any] | None:
        """The next batch by input name, None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


def _tail(graph: onnx.GraphProto) -> list[str]:
    """The node that turns logits into probabilities: 256 levels of them would make most classes equal."""
    last = {value.name for value in graph.output}
    return [n.name for n in graph.node if n.op_type in TAILS and last.intersection(n.output)]


def _quantize(source: Path, target: Path, samples: NDArray[np.float32], per_channel: bool, scheme: Scheme) -> None:
    with warnings.catch_warnings():
        # onnx marks helpers as deprecated that onnxruntime 1.31 still calls.
        warnings.simplefilter("ignore", DeprecationWarning)
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        types = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
        model = onnx.load(source)
        given = model.graph.input[0]
        logging.disable(logging.WARNING)  # its advice to pre-process: the exporter has folded what there is
        try:
            quantize_static(
                str(source),
                str(target),
                _Calibration(given, samples),
                quant_format=QuantFormat.QDQ,
                activation_type=types[scheme.activation],
                weight_type=types[scheme.weight],
                per_channel=per_channel,
                reduce_range=scheme.reduce_range,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=_tail(model.graph),
            )
        finally:
            logging.disable(logging.NOTSET)
