"""Blobs: files named by their sha256, written once."""

import os
import tempfile
from hashlib import sha256
from pathlib import Path

from edgefleet_controller.errors import Invalid, NotFound
from edgefleet_protocol.canonical import digest


class BlobFolder:
    """A folder of blobs; what stands under a name is complete and synced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where the blob of that digest stands, or would stand."""
        return self._folder / name[:2] / name

    def put(self, data: bytes) -> str:
        """Write a blob; its name."""
        name = digest(data)
        path = self.path(name)
        if path.exists():
            return name
        path.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
        _sync_folder(path.parent)
        return name

    def put_named(self, name: str, data: bytes) -> None:
        """Write a blob that the sender has named.

        Raises:
            Invalid: the bytes have another name.
        """
        if digest(data) != name:
            raise Invalid(f"the bytes have the sha256 {digest(data)}, not {name}: send them again")
        self.put(data)

    def read(self, name: str) -> bytes:
        """A whole blob.

        Raises:
            NotFound: there is none of that name.
        """
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no blob {name}: upload it first") from None

    def read_chunk(self, name: str, index: int, chunk_bytes: int) -> bytes | None:
        """Chunk `index` of a blob, or None where there is nothing."""
        try:
            with self.path(name).open("rb") as file:
                file.seek(index * chunk_bytes)
                return file.read(chunk_bytes) or None
        except OSError:
            return None

    def is_whole(self, name: str) -> bool:
        """Whether the blob on disk still is what its name says."""
        try:
            with self.path(name).open("rb") as file:
                hashed = sha256()
                while block := file.read(1 << 20):
                    hashed.update(block)
        except OSError:
            return False
        return hashed.hexdigest() == name


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
