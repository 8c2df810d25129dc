"""The device side: lifecycle, slots, fetching, the inference worker and telemetry."""
