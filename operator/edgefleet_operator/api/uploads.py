"""Uploads files to the controller, a block at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO

from edgefleet_contract.errors import ContractError
from edgefleet_operator.errors import UnusableFile
from edgefleet_operator.http import BASE, Http, at

BLOCK_BYTES = 1 << 20
SLOW_DISK_BYTES_PER_S = 10e6
"""What the slowest cards that are sold for computers promise (speed class 10 of the SD association)."""


@dataclass(frozen=True)
class UploadProgress:
    """How much of one file has been sent."""

    file: str
    sent_bytes: int
    total_bytes: int


OnUpload = Callable[[UploadProgress], None]


@contextmanager
def reading() -> Iterator[None]:
    """Turn what goes wrong with a file on this machine into an error of ours.

    Raises:
        UnusableFile: a file cannot be read, or isn't what it should be.
    """
    try:
        yield
    except OSError as error:
        raise UnusableFile(f"'{error.filename}' cannot be read: {error.strerror}") from error
    except (ContractError, ValueError) as error:  # ValueError: no file system takes such a path
        raise UnusableFile(str(error)) from error


def sha256_of(path: Path) -> str:
    """Compute the digest that a file is uploaded under.

    Raises:
        UnusableFile: the file cannot be read.
    """
    with reading(), path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def upload(http: Http, path: Path, sha256: str, name: str, on_progress: OnUpload | None) -> None:
    """Upload a file, a block at a time.

    Raises:
        ApiError: the controller refused the request or didn't answer.
        UnusableFile: the file cannot be read.
    """
    with reading():
        size_bytes = path.stat().st_size
    headers = {"Content-Length": str(size_bytes)}
    blocks = _blocks(path, name, size_bytes, on_progress)
    path_there = f"{BASE}{at('/blobs', sha256)}"
    http.answer("PUT", path_there, content=blocks, headers=headers, timeout_s=patience_s(http, size_bytes))


def patience_s(http: Http, size_bytes: int) -> float:
    """How long to wait for a controller that writes or reads so many bytes before it answers."""
    return http.timeout_s + size_bytes / SLOW_DISK_BYTES_PER_S


def _blocks(path: Path, name: str, size_bytes: int, on_progress: OnUpload | None) -> Iterator[bytes]:
    sent_bytes = 0
    with reading():
        file = path.open("rb")
    with file:
        while block := _next_block(file):
            if sent_bytes + len(block) > size_bytes:
                break
            yield block
            sent_bytes += len(block)
            if on_progress is not None:
                on_progress(UploadProgress(name, sent_bytes, size_bytes))
    if block or sent_bytes != size_bytes:
        raise UnusableFile(f"'{path}' changed while it was being uploaded: upload it again")


def _next_block(file: BinaryIO) -> bytes:
    with reading():
        return file.read(BLOCK_BYTES)
