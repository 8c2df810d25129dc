"""One module per benchmark: `run(options)` measures, `add_options(parser)`, where there is one, takes its own."""

from edgefleet_process.onnxruntime_silence import silence_onnxruntime

silence_onnxruntime()
