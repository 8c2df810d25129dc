"""What a single step runs with, for fixtures of any scope."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgefleet_compression.step import Context


def context_in(folder: Path, files: Mapping[str, Path]) -> "Context":
    """A context of a model's files that keeps its cache, and what steps write, in `folder`."""
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source_files import open_source
    from edgefleet_compression.schemes import Scheme
    from edgefleet_compression.step import Context

    source = open_source(dict(files), Cache(folder / "cache"))
    own = folder / "step"
    own.mkdir()
    return Context(source, Scheme("u8"), 0, own, lambda share, text: None)
