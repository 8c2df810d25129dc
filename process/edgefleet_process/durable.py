"""Writes files that survive a power cut: once a call returns, the data is on disk, and the file is wholly new."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

BLOCK_BYTES = 4096


def replace_file(
    path: Path,
    data: bytes,
    *,
    keep_room: bool = False,
    private: bool = False,
    before_swap: Callable[[], None] = lambda: None,
) -> None:
    """Put `data` at `path`: write and sync a temporary file, rename it, then sync the folder.

    At any moment the file is wholly old or wholly new.

    Args:
        path: the file to replace or create.
        data: its new content.
        keep_room: keep the space of two such files forever, so that the next write succeeds on a full disk. The data
            must tolerate trailing blanks, as JSON does.
        private: only this user may read it.
        before_swap: called after the new file is synced, while the old one still has the name.

    Raises:
        OSError: the disk is full, read-only or broken; `path` is as it was.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        if keep_room:
            _overwrite(temporary, data)
        else:
            _write_new(temporary, data, private)
        before_swap()
        _swap(path, temporary) if keep_room else temporary.replace(path)
    except OSError:
        # On a full disk, a half-written file takes the space that the next try needs.
        if not keep_room:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and sync it; its name is only safe once its folder is synced too."""
    write_blocks(path, [data])


def write_blocks(path: Path, blocks: Iterable[bytes]) -> str:
    """Write a new file block by block and sync it, as `write_synced` does; returns its sha256."""
    written = sha256()
    with path.open("wb") as file:
        for block in blocks:
            file.write(block)
            written.update(block)
        file.flush()
        os.fsync(file.fileno())
    return written.hexdigest()


def sync(path: Path) -> None:
    """Sync the bytes of a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, data: bytes, private: bool) -> None:
    path.unlink(missing_ok=True)  # a mode applies only to a new file
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _overwrite(path: Path, data: bytes) -> None:
    """Overwrite a file that nobody reads, without freeing any of its space."""
    with suppress(OSError):
        if not path.exists():
            _aside(path).replace(path)  # a power cut came between the two renames of a swap
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        whole_blocks = -(-len(data) // BLOCK_BYTES) * BLOCK_BYTES
        file.write(data.ljust(max(whole_blocks, os.fstat(descriptor).st_size)))
        file.flush()
        os.fsync(descriptor)


def _swap(path: Path, temporary: Path) -> None:
    """Rename `temporary` to `path` in one step, then the old file to `temporary`."""
    aside = _aside(temporary)
    with suppress(OSError):
        aside.unlink(missing_ok=True)
        aside.hardlink_to(path)
    temporary.replace(path)
    with suppress(OSError):
        aside.replace(temporary)


def _aside(temporary: Path) -> Path:
    return temporary.with_suffix(".old")
