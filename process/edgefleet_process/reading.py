"""Reads files that may not fit in memory."""

from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path

from edgefleet_process.errors import TooLarge

BLOCK_BYTES = 1 << 20


def read_blocks(path: Path) -> Iterator[bytes]:
    """Read a file, a megabyte at a time.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def read_at_most(most_bytes: int, path: Path) -> bytes:
    """Read a small file; a device or a pipe that never ends is too large as well.

    Raises:
        OSError: the file cannot be read.
        TooLarge: it has more bytes than `most_bytes`.
    """
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise TooLarge(f"{path} has more than {most_bytes:,} bytes")
    return data


def digest_of_file(path: Path) -> str:
    """Compute the sha256 of a file, in hex.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
