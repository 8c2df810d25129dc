"""`python -m edgefleet_agent`, and the entry point of `edgefleet-agent`."""

import sys

from edgefleet_agent.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
