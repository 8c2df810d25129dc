"""`edgefleet`, the operator's command; on a base install it says what to install."""

from edgefleet_process.children import leave_current_folder

if __name__ == "__main__":
    leave_current_folder()

import importlib.util
import os
import sys
from importlib.metadata import version

NEEDED = ("typer", "rich", "httpx")


def main() -> None:
    """Run the command line."""
    if not all(map(importlib.util.find_spec, NEEDED)):
        if sys.argv[1:] == ["--version"]:
            print(f"edgefleet {version('edgefleet')}")
            return
        sys.exit(
            "this install has only the agent; for the command line: pip install 'edgefleet[operator]', "
            "for a controller: pip install 'edgefleet[controller,compression]'"
        )
    # pydantic looks for plug-ins in all installed packages, and fails if the metadata of any is damaged.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from edgefleet_operator.cli import app

    app(prog_name="edgefleet")


if __name__ == "__main__":
    main()
