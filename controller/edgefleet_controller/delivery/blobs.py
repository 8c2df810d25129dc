"""Blobs: files named by their sha256, written once, and removed when nothing names them."""

import errno
import logging
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Self

from edgefleet_controller.errors import Invalid, NotFound
from edgefleet_controller.failpoints import reach
from edgefleet_process.durable import sync
from edgefleet_process.reading import digest_of_file
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import HASH_BYTES, chunk_hash

log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{64}")
_LOST = (errno.ENOENT, errno.EIO)
MAX_CHECKED = 64
"""How many blobs' chunk hashes are remembered: 16 bytes for each chunk of a blob that is being sent."""

_Stamp = tuple[int, int, int]  # inode, size in bytes, time of change: what a replaced file has another of


class BlobFolder:
    """A folder of blobs; what stands under a name is complete and synced.

    A blob's file time says when it was last put or kept: what is about to be named is never removed as unnamed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()  # between putting and removing the same blob
        self._damaged: dict[str, _Stamp | None] = {}
        self._checked: OrderedDict[tuple[str, int], tuple[_Stamp, bytes]] = OrderedDict()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """Where blobs stand, and beside them what is half written."""
        return self._folder

    def path(self, name: str) -> Path:
        """Where the blob of that digest stands, or would stand."""
        return self._folder / name[:2] / name

    def put(self, data: bytes) -> str:
        """Write a blob; its name. One that was damaged on disk is whole again."""
        name = digest(data)
        self.put_named(name, data)
        return name

    def put_named(self, name: str, data: bytes) -> None:
        """Write a blob that the sender has named.

        Raises:
            Invalid: the bytes have another name.
        """
        with self.receive(name) as upload:
            upload.write(data)
            upload.finish()

    def receive(self, name: str) -> "Upload":
        """Take in a blob that the sender has named, block by block."""
        return Upload(self, name)

    def place(self, name: str, part: Path) -> None:
        """Give a synced file its blob's name, unless that is there and whole."""
        path = self.path(name)
        with self._lock:
            if self.is_whole(name):
                os.utime(path)
                return
            path.parent.mkdir(exist_ok=True)
            reach("blob_written")
            part.replace(path)
            sync(path.parent)
            sync(self._folder)  # the parent may be as new as the blob
            reach("blob_named")
            self._damaged.pop(name, None)

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
        """Chunk `index` of a blob, or None where there is nothing, or nothing that may be sent.

        Every chunk that leaves is checked: the first one costs a look at the whole blob, and from then on each is
        held against what it was at that look.
        """
        stamp = None
        try:
            with self.path(name).open("rb") as file:
                stamp = _stamp(os.fstat(file.fileno()))
                hashes = self._chunk_hashes(name, chunk_bytes, stamp, file)
                file.seek(index * chunk_bytes)
                data = file.read(chunk_bytes)
        except OSError as error:
            if error.errno in _LOST:
                self._note_damage(name, stamp)
            return None
        if not hashes or not data:
            return None
        if chunk_hash(data) == hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]:
            return data
        self._note_damage(name, stamp)
        return None

    @property
    def damaged(self) -> set[str]:
        """Blobs that could not be sent because the file is gone or is not what its name says."""
        for name, stamp in list(self._damaged.items()):
            if self._stamp_of(name) != stamp:  # replaced since: looked at again when it is wanted
                self._damaged.pop(name, None)
        return set(self._damaged)

    def _chunk_hashes(self, name: str, chunk_bytes: int, stamp: _Stamp, file: BinaryIO) -> bytes | None:
        """The hashes of a blob's chunks, one after the other; None when the blob is damaged."""
        if name in self._damaged and self._damaged[name] == stamp:
            return None
        key = (name, chunk_bytes)
        known = self._checked.get(key)
        if known and known[0] == stamp:
            self._checked.move_to_end(key)
            return known[1]
        whole, hashes = sha256(), bytearray()
        while block := file.read(chunk_bytes):
            whole.update(block)
            hashes += chunk_hash(block)
        if whole.hexdigest() != name:
            self._note_damage(name, stamp)
            return None
        self._damaged.pop(name, None)
        self._checked[key] = stamp, bytes(hashes)
        if len(self._checked) > MAX_CHECKED:
            self._checked.popitem(last=False)
        return bytes(hashes)

    def _note_damage(self, name: str, stamp: _Stamp | None) -> None:
        if name not in self._damaged:
            log.error("blob %s is damaged on disk and is not sent: add the model again, or compress it again", name)
        self._damaged[name] = stamp

    def _stamp_of(self, name: str) -> _Stamp | None:
        try:
            return _stamp(self.path(name).stat())
        except OSError:
            return None

    def is_whole(self, name: str) -> bool:
        """Whether the blob on disk still is what its name says."""
        try:
            return digest_of_file(self.path(name)) == name
        except OSError:
            return False

    def keep(self, names: Iterable[str]) -> None:
        """Keep blobs that will be named in a moment from being removed as unnamed."""
        for name in names:
            with self._lock, suppress(OSError):
                os.utime(self.path(name))

    def written_ms(self) -> Iterator[tuple[str, int]]:
        """Every blob on disk, with when it was last put or kept."""
        for path in self._folder.glob("??/*"):
            with suppress(OSError):
                if _NAME.fullmatch(path.name):
                    yield path.name, _changed_ms(path)

    def since_ms(self, name: str) -> int:
        """When a blob was last put or kept; 0 for one that is not there."""
        try:
            return _changed_ms(self.path(name))
        except OSError:
            return 0

    def remove(self, name: str, unless_since_ms: int, forget: Callable[[str], None]) -> bool:
        """Remove a blob unless it was put or kept since; whether it went.

        Args:
            name: which blob.
            unless_since_ms: if its file is as young as this, it stays.
            forget: removes what the store knows of it, before the file goes: a row without its file would promise
                devices what is not there.
        """
        path = self.path(name)
        with self._lock:
            with suppress(FileNotFoundError):
                if _changed_ms(path) >= unless_since_ms:
                    return False
            forget(name)
            reach("blob_forgotten")
            path.unlink(missing_ok=True)
            reach("blob_removed")
            self._damaged.pop(name, None)
        return True

    def sweep(self, before_ms: int) -> None:
        """Delete what killed uploads left half written."""
        for path in self._folder.iterdir():
            with suppress(OSError):
                if path.is_file() and _changed_ms(path) < before_ms:
                    path.unlink()


class Upload:
    """A blob on its way in: a file without a name until it is whole, so that its size costs no memory."""

    def __init__(self, blobs: BlobFolder, name: str) -> None:
        self._blobs, self._name = blobs, name
        self._hashed = sha256()
        self.size_bytes = 0

    def __enter__(self) -> Self:
        self._file = tempfile.NamedTemporaryFile(dir=self._blobs.folder, delete=False)
        return self

    def write(self, block: bytes) -> None:
        """Add bytes."""
        self._file.write(block)
        self._hashed.update(block)
        self.size_bytes += len(block)

    def finish(self) -> None:
        """Give the blob its name.

        Raises:
            Invalid: the bytes have another one.
        """
        if (found := self._hashed.hexdigest()) != self._name:
            raise Invalid(f"the bytes have the sha256 {found}, not {self._name}: send them again")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._blobs.place(self._name, Path(self._file.name))

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind of what was not finished."""
        with suppress(OSError):  # a full disk is told by what failed first
            self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _changed_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000
