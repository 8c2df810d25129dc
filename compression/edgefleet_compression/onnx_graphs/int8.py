"""onnxruntime's static quantization, without its output, and with ranges from one of our splits."""

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgefleet_compression.errors import StepError
from edgefleet_compression.onnx_graphs.activations import Seen, least_error, observe
from edgefleet_compression.onnx_graphs.masks import touching_masks
from edgefleet_compression.onnx_graphs.ranges import Ranges, ranges_of
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.step_settings import Int8Config

BATCH = 64
BY_HISTOGRAM = ("percentile", "entropy")
TAILS = ("Softmax", "LogSoftmax", "Sigmoid")
QUANTIZER, INSTEAD = "onnxruntime's quantizer", "use storage_quant, or fp16"
ENTROPY_BINS, ENTROPY_LEVELS = 512, 128


class _Calibration:
    """Batches of samples in the form that onnxruntime's calibration reads."""

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


def tail(graph: onnx.GraphProto) -> list[str]:
    """The node that turns logits into probabilities: 256 levels of them would make most classes equal."""
    last = {value.name for value in graph.output}
    return [n.name for n in graph.node if n.op_type in TAILS and last.intersection(n.output)]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the library's quantizers, which print histograms and advice that our exports already follow."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # onnx marks helpers as deprecated that onnxruntime 1.31 still calls.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # of masks, whose ranges are computed and not used
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _by_entropy(source: Path, given: onnx.ValueInfoProto, samples: NDArray[np.float32]) -> Ranges:
    """The range of each activation that loses least information in so many levels.

    `quantize_static` would look at a histogram of as many bins as there are levels: only one range fits it, the
    whole one, and nothing is chosen.
    """
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    with tempfile.TemporaryDirectory(prefix="edgefleet-calibration-") as folder:
        calibrator = create_calibrator(
            source,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.Entropy,
            extra_options={"num_bins": ENTROPY_BINS, "num_quantized_bins": ENTROPY_LEVELS},
        )
        calibrator.collect_data(_Calibration(given, samples))
        found = calibrator.compute_data()
    return {name: (float(low), float(high)) for name, data in found.items() for low, high in [data.range_value]}


def quantize(
    source: Path,
    target: Path,
    samples: NDArray[np.float32],
    config: Int8Config,
    scheme: Scheme,
    *,
    keep_activations: bool = False,
    seen: Mapping[str, Seen] | None = None,
) -> None:
    """Write `source` in QDQ form.

    Args:
        source: an ONNX file with fp32 weights.
        target: where to write.
        samples: float32 [N, ...], as the model takes them.
        config: how ranges are found.
        scheme: types of activations and weights.
        keep_activations: whether Relu and Clip stay where the range of their output would do the same.
        seen: what `observe` gives for these samples, if it was run already.
    """
    with quiet(), tempfile.TemporaryDirectory(prefix="edgefleet-int8-") as folder:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        # The library writes beside what it reads, always under the same name; a cached file has other readers.
        source = Path(shutil.copy(source, folder))
        types = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
        options: dict[str, Any] = {"QDQKeepRemovableActivations": keep_activations}
        method = CalibrationMethod.MinMax
        if config.calibration == "percentile":
            method, options["CalibPercentile"] = CalibrationMethod.Percentile, config.percentile
        model = onnx.load(source)
        known: Ranges = {}
        seen = seen or observe(model, samples)
        if config.calibration in BY_HISTOGRAM and not all(one.is_finite for one in seen.values()):
            raise StepError(
                f"ranges by {config.calibration} need finite activations, and a mask makes some infinite: "
                "set calibration to minmax or mse"
            )
        if config.calibration == "entropy":
            known = _by_entropy(source, model.graph.input[0], samples)
        elif config.calibration == "mse":
            known = {name: least_error(one) for name, one in seen.items() if one.is_finite}
            samples = samples[:1]  # onnxruntime need not look for itself, and insists
        if known := known | ranges_of(model):  # what training found counts more than what samples show
            options["TensorQuantOverrides"] = {
                name: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for name, (low, high) in known.items()
            }
        quantize_static(
            str(source),
            str(target),
            _Calibration(model.graph.input[0], samples),
            quant_format=QuantFormat.QDQ,
            activation_type=types[scheme.activation],
            weight_type=types[scheme.weight],
            per_channel=config.per_channel,
            reduce_range=scheme.reduce_range,
            calibrate_method=method,
            nodes_to_exclude=[*tail(model.graph), *touching_masks(model, seen)],
            extra_options=options,
        )


def quantized_layers(model: onnx.ModelProto) -> Sequence[str]:
    """The names of the convolutions and linear layers that compute in 8 bits, in order."""
    unfolded = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    return [node.name for node in layers if set(node.input) & unfolded]
