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

from edgefleet_compression.errors import StepError
from edgefleet_compression.heartbeat import beat
from edgefleet_compression.onnx_graphs.activations import Seen, least_error, observe
from edgefleet_compression.onnx_graphs.asked import Asked, FeedRunner
from edgefleet_compression.onnx_graphs.batches import at_once
from edgefleet_compression.onnx_graphs.masks import touching_masks
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.onnx_graphs.ranges import Ranges, ranges_of
from edgefleet_compression.onnx_graphs.regions import tail
from edgefleet_compression.samples import Feed
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.step_settings import Int8Config

BATCH = 8
TAILS = ("Softmax", "LogSoftmax", "Sigmoid")
QUANTIZER, INSTEAD = "onnxruntime's quantizer", "use storage_quant, or fp16"
ENTROPY_BINS, ENTROPY_LEVELS = 512, 128


class _Calibration:
    """One batch of samples in the form that onnxruntime's calibration reads."""

    def __init__(self, feed: Feed) -> None:
        self._feeds: Iterator[Feed] = iter([feed])

    def get_next(self) -> dict[str, Any] | None:
        """The batch by input name, None at the end."""
        feed = next(self._feeds, None)
        return None if feed is None else dict(feed)


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


def _by_histogram(source: Path, model: onnx.ModelProto, asked: Asked, config: Int8Config) -> Ranges:
    """The range of each activation without its rarest values, or that which loses least information in so many levels.

    `quantize_static` would keep all activations of all samples until the last; and for entropy it would look at a
    histogram of as many bins as there are levels: only one range fits it, the whole one, and nothing is chosen.
    """
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    method, options = CalibrationMethod.Percentile, {"percentile": config.percentile}
    if config.calibration == "entropy":
        method, options = CalibrationMethod.Entropy, {"num_bins": ENTROPY_BINS, "num_quantized_bins": ENTROPY_LEVELS}
    if asked.state is None and not asked.samples.is_dense:
        raise StepError(f"ranges by {config.calibration} need samples of one shape: set calibration to minmax or mse")
    size = at_once(model, asked.one(), BATCH)
    with tempfile.TemporaryDirectory(prefix="edgefleet-calibration-") as folder:
        calibrator = create_calibrator(
            source,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=method,
            extra_options=options,
        )
        for feed, _, _ in asked.asks(*_stepping(source, asked), size):
            beat()
            calibrator.collect_data(_Calibration(feed))
        found = calibrator.compute_data()
    return {name: (float(low), float(high)) for name, data in found.items() for low, high in [data.range_value]}


def _stepping(source: Path, asked: Asked) -> tuple[FeedRunner, Sequence[str]]:
    """How samples are asked where only what is put in matters: the next step of a sequence takes what the last gave."""
    if asked.state is None:
        return lambda feed: (), ()
    return ModelSession(source).run, [tensor.name for tensor in asked.signature.outputs]


def _ranges(
    source: Path,
    model: onnx.ModelProto,
    asked: Asked,
    config: Int8Config,
    seen: Mapping[str, Seen],
) -> Ranges:
    """The range of each activation whose values are finite, as the settings find it.

    Raises:
        StepError: the settings need finite activations everywhere, and some are not.
    """
    finite = {name: one for name, one in seen.items() if one.is_finite}
    if config.calibration == "minmax":
        return {name: (one.low, one.high) for name, one in finite.items()}
    if config.calibration == "mse":
        return {name: least_error(one) for name, one in finite.items()}
    if len(finite) < len(seen):
        raise StepError(
            f"ranges by {config.calibration} need finite activations, and a mask makes some infinite: "
            "set calibration to minmax or mse"
        )
    return _by_histogram(source, model, asked, config)


def quantize(
    source: Path,
    target: Path,
    asked: Asked,
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
        asked: samples.
        config: how ranges are found.
        scheme: types of activations and weights.
        keep_activations: whether Relu and Clip stay where the range of their output would do the same.
        seen: what `observe` gives for these samples, if it was run already.
    """
    with quiet(), tempfile.TemporaryDirectory(prefix="edgefleet-int8-") as folder:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        # The library writes beside what it reads, always under the same name; a cached file has other readers.
        source = Path(shutil.copy(source, folder))
        types = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
        options: dict[str, Any] = {"QDQKeepRemovableActivations": keep_activations}
        model = onnx.load(source)
        seen = seen or observe(model, asked)
        known = _ranges(source, model, asked, config, seen)
        if known := known | ranges_of(model):  # what training found counts more than what samples show
            options["TensorQuantOverrides"] = {
                name: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for name, (low, high) in known.items()
            }
        quantize_static(
            str(source),
            str(target),
            _Calibration(asked.one()),  # it need not look for itself, and insists
            quant_format=QuantFormat.QDQ,
            activation_type=types[scheme.activation],
            weight_type=types[scheme.weight],
            per_channel=config.per_channel,
            reduce_range=scheme.reduce_range,
            nodes_to_exclude=[*tail(model.graph), *touching_masks(model, seen)],
            extra_options=options,
        )


def quantized_layers(model: onnx.ModelProto) -> Sequence[str]:
    """The names of the convolutions and linear layers that compute in 8 bits, in order."""
    unfolded = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    return [node.name for node in layers if set(node.input) & unfolded]
