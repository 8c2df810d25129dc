"""What a user would compress with instead: each peer in a Python environment of its own, asked by its own script."""
