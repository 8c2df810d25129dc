"""One module per benchmark: `run(options)` measures, `add_options(parser)`, where there is one, takes its own."""
