"""The steps, one file each, found by walking this package (see registry.py); importing one imports no torch."""
