"""What edgefleet weighs, measured: `scripts/bench NAME`."""
