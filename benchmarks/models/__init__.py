"""Public ONNX files from packages, with samples: what `scripts/bench models`, `sizes` and `detectors` go through."""

from edgefleet_process.onnxruntime_silence import silence_onnxruntime

silence_onnxruntime()
