"""`python -m edgefleet_agent`, and the entry point of `edgefleet-agent`."""

from edgefleet_process.children import leave_current_folder

if __name__ == "__main__":
    leave_current_folder()

import sys

from edgefleet_agent.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
