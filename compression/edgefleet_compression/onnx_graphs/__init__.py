"""ONNX files: read, rewritten, quantized, stored in few bits, and run."""
