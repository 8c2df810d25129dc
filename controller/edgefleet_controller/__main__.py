"""`edgefleet`, the operator's command; on a base install it says what is missing."""

import importlib.util
import sys

NEEDED = {"controller": ("typer", "fastapi", "sqlite_utils"), "compression": ("torch", "onnx")}


def main() -> None:
    """Run the command line."""
    missing = [extra for extra, modules in NEEDED.items() if not all(map(importlib.util.find_spec, modules))]
    if missing:
        extras = ",".join(missing)
        sys.exit(f"this install has only the agent; for the controller: pip install 'edgefleet[{extras}]'")
    from edgefleet_controller.cli import app

    app()


if __name__ == "__main__":
    main()
