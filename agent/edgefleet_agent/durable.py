"""Writing that survives a power cut: what has returned is on the disk, and no file is ever half of two."""

import os
from pathlib import Path

from edgefleet_agent.failpoints import reach


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path`: a temporary file, synced, takes its place; then the folder is synced."""
    temporary = path.with_name(f"{path.name}.tmp")
    write_synced(temporary, data)
    reach("file_written", path.name)
    temporary.replace(path)
    sync_folder(path.parent)


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
