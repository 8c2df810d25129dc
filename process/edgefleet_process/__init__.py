"""What all our processes need: durable files, locks, clocks, logs and failpoints; uses only the standard library."""
