"""Public ONNX files from packages, samples for them, and the three parts of `scripts/bench models`."""

from edgefleet_process.onnxruntime_silence import silence_onnxruntime

silence_onnxruntime()
