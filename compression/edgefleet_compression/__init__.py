"""Recipes of compression steps, run in workers of their own; the only home of torch."""

from edgefleet_process.onnxruntime_silence import silence_onnxruntime

silence_onnxruntime()
