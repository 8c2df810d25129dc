"""What every process of ours needs: durable files, locks, clocks, logs and failpoints; the standard library only."""
