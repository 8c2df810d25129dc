"""Files that the agent replaces: each replacement passes a failpoint, and some may wait for the disk."""

from contextlib import suppress
from pathlib import Path

from edgefleet_agent.failpoints import reach
from edgefleet_process import durable


def replace_file(path: Path, data: bytes, *, keep_room: bool = False) -> None:
    """Put `data` at `path`, durably; see `edgefleet_process.durable.replace_file`.

    Raises:
        OSError: the disk is full, read-only or broken; `path` is as it was.
    """
    durable.replace_file(path, data, keep_room=keep_room, before_swap=lambda: reach("file_written", path.name))


class LateFile:
    """A file that nothing waits for: if the disk does not take it now, it is written later.

    Args:
        path: the file to replace or create.
        data: its new content.
        keep_room: as for `replace_file`.
    """

    def __init__(self, path: Path, data: bytes, *, keep_room: bool = False) -> None:
        self._path, self._data, self._keep_room, self._written = path, data, keep_room, False
        self.settle()

    def settle(self) -> bool:
        """Write the file unless that is done; whether it is."""
        if not self._written:
            with suppress(OSError):
                replace_file(self._path, self._data, keep_room=self._keep_room)
                self._written = True
        return self._written
