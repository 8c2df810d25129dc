"""The device side: lifecycle, slots, fetching, the inference worker and telemetry."""

from edgefleet_process.onnxruntime_silence import silence_onnxruntime

silence_onnxruntime()
