"""Which version of edgefleet runs."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def agent_version() -> str:
    """The installed version of this distribution, read once: every report tells it."""
    try:
        return version("edgefleet")
    except PackageNotFoundError:
        return "0"
