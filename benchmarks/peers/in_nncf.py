"""Compress with `nncf.quantize`, as its documentation shows for ONNX; runs in nncf's own environment."""

import nncf  # type: ignore[import-not-found, unused-ignore]
import numpy as np
import onnx

from benchmarks.peers.peer_request import PeerRequest, answer


def quantize(request: PeerRequest) -> None:
    """The model of a request; its one option is `preset`, MIXED or PERFORMANCE."""
    samples = np.load(request.samples)
    data = nncf.Dataset(list(samples[:, None]), lambda one: {request.input_name: one})
    preset = nncf.QuantizationPreset[request.options["preset"]]
    made = nncf.quantize(onnx.load(request.model), data, preset=preset, subset_size=len(samples))
    onnx.save(made, request.target)


if __name__ == "__main__":
    answer(quantize, "nncf")
