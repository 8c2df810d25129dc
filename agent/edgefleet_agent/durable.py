"""Writing that survives a power cut: what has returned is on the disk, and no file is ever half of two."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path

from edgefleet_agent.failpoints import reach

BLOCK_BYTES = 4096


def replace_file(path: Path, data: bytes, *, keep_room: bool = False) -> None:
    """Put `data` at `path`: a temporary file, synced, takes its place; then the folder is synced.

    Args:
        path: where it stands.
        data: what it says.
        keep_room: keep the room of two such files for ever, so that a full disk takes the next one too. The data
            must stand blanks at its end, as JSON does.

    Raises:
        OSError: the disk is full, read-only or broken; `path` is as it was.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        if keep_room:
            _overwrite(temporary, data)
        else:
            write_synced(temporary, data)
        reach("file_written", path.name)
        _swap(path, temporary) if keep_room else temporary.replace(path)
    except OSError:
        # On a full disk, what is half written takes the room that the next try needs.
        if not keep_room:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _overwrite(path: Path, data: bytes) -> None:
    """Write over a file that nobody reads; the room that it has is never given back."""
    with suppress(OSError):
        if not path.exists():
            _aside(path).replace(path)  # a power cut between the two renames of a swap
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        whole_blocks = -(-len(data) // BLOCK_BYTES) * BLOCK_BYTES
        file.write(data.ljust(max(whole_blocks, os.fstat(descriptor).st_size)))
        file.flush()
        os.fsync(descriptor)


def _swap(path: Path, temporary: Path) -> None:
    """Give `temporary` the name `path` in one step, and then what was there the name `temporary`."""
    aside = _aside(temporary)
    with suppress(OSError):
        aside.unlink(missing_ok=True)
        aside.hardlink_to(path)
    temporary.replace(path)
    with suppress(OSError):
        aside.replace(temporary)


def _aside(temporary: Path) -> Path:
    return temporary.with_suffix(".old")


class LateFile:
    """A file that nothing waits for: where the disk does not take it now, it is written later.

    Args:
        path: where it stands.
        data: what it says.
        keep_room: as for `replace_file`.
    """

    def __init__(self, path: Path, data: bytes, *, keep_room: bool = False) -> None:
        self._path, self._data, self._keep_room, self._written = path, data, keep_room, False
        self.settle()

    def settle(self) -> bool:
        """Write it unless that is done; whether it is."""
        if not self._written:
            with suppress(OSError):
                replace_file(self._path, self._data, keep_room=self._keep_room)
                self._written = True
        return self._written


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and sync it; its name is only safe once its folder is synced too."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_blocks(path: Path, blocks: Iterable[bytes]) -> str:
    """Write a new file block by block and sync it; gives the sha256 of what was written."""
    written = sha256()
    with path.open("wb") as file:
        for block in blocks:
            file.write(block)
            written.update(block)
        file.flush()
        os.fsync(file.fileno())
    return written.hexdigest()


def blocks_of(path: Path) -> Iterator[bytes]:
    """A file, a megabyte at a time."""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


def digest_of_file(path: Path) -> str:
    """The sha256 of a file, which is never wholly in memory.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
