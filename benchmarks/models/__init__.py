"""Public ONNX files from packages, samples for them, and the three parts of `scripts/bench models`."""
