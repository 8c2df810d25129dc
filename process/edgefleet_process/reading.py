"""Reads files that may not fit in memory."""

from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path

BLOCK_BYTES = 1 << 20


def read_blocks(path: Path) -> Iterator[bytes]:
    """Read a file, a megabyte at a time.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def digest_of_file(path: Path) -> str:
    """Compute the sha256 of a file, in hex.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
