"""Uploads files to the controller, a block at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from edgefleet_operator.http import BASE, Http, at

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class UploadProgress:
    """How much of one file has been sent."""

    file: str
    sent_bytes: int
    total_bytes: int


OnUpload = Callable[[UploadProgress], None]


def sha256_of(path: Path) -> str:
    """Compute the digest that a file is uploaded under."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def upload(http: Http, path: Path, sha256: str, name: str, on_progress: OnUpload | None) -> None:
    """Upload a file, a block at a time.

    Raises:
        ApiError: the controller refused the request or didn't answer.
        OSError: the file cannot be read.
    """
    size_bytes = path.stat().st_size
    headers = {"Content-Length": str(size_bytes)}
    blocks = _blocks(path, name, size_bytes, on_progress)
    http.answer("PUT", f"{BASE}{at('/blobs', sha256)}", content=blocks, headers=headers)


def _blocks(path: Path, name: str, size_bytes: int, on_progress: OnUpload | None) -> Iterator[bytes]:
    sent_bytes = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
            sent_bytes += len(block)
            if on_progress is not None:
                on_progress(UploadProgress(name, sent_bytes, size_bytes))
