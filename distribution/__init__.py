"""What leaves this repository: the wheel, the sdist, and bundles for devices: `scripts/build`."""
