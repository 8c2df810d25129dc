"""Compress with onnxruntime's `quantize_static`, as its documentation shows, in this project's own environment."""

from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.peer_request import PeerRequest, answer


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """One sample after the other."""

    def __init__(self, request: PeerRequest) -> None:
        self._name, self._left = request.input_name, iter(np.load(request.samples)[:, None])

    def get_next(self) -> dict[str, Any] | None:
        one = next(self._left, None)
        return None if one is None else {self._name: one}


def quantize(request: PeerRequest) -> None:
    """The model of a request; options are `activation` and `weight` (u8 or s8) and `reduce_range`."""
    types = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
    prepared = f"{request.target}.prepared.onnx"
    quant_pre_process(request.model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        request.target,
        _Samples(request),
        quant_format=QuantFormat.QDQ,
        activation_type=types[request.options["activation"]],
        weight_type=types[request.options["weight"]],
        per_channel=True,
        reduce_range=request.options["reduce_range"],
    )


if __name__ == "__main__":
    answer(quantize, "onnxruntime")
