"""Which version of edgefleet runs."""

from importlib.metadata import PackageNotFoundError, version


def agent_version() -> str:
    """The installed version of this distribution."""
    try:
        return version("edgefleet")
    except PackageNotFoundError:
        return "0"
