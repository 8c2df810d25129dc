"""Other people's tools on other people's graphs: whatever they raise becomes a refusal that names the tool."""

import contextlib
from collections.abc import Iterator

from edgefleet_compression.errors import CompressionError, StepError, is_full_disk


@contextlib.contextmanager
def told_by(step: str, tool: str, advice: str) -> Iterator[None]:
    """Refuse what a tool fails on.

    Args:
        step: which step asked it.
        tool: its name, for people.
        advice: what to do instead.

    Raises:
        StepError: the tool raised, whatever it was; a full disk, and too little memory, are passed on.
    """
    try:
        yield
    except (CompressionError, MemoryError):
        raise
    except Exception as error:  # these tools have no common root
        if is_full_disk(error):
            raise
        said = (" ".join(str(error).split()) or "no message")[:200]
        raise StepError(f"{step}: {tool} cannot take this graph ({type(error).__name__}: {said}): {advice}") from error
