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
from edgefleet_process.reading import digest_of_file, read_blocks
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import HASH_BYTES, chunk_hash
from edgefleet_protocol.manifest import BlobRef

log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{64}")
_LOST = (errno.ENOENT, errno.EIO)
MAX_CHECKED = 64
MAX_CHECKED_BYTES = 16 * 2**20
"""For how many blobs to remember chunk hashes, at 16 bytes per chunk: 8 MB for one of 2 GB in chunks of 4 KB."""

_Stamp = tuple[int, int, int]  # inode, size in bytes, time of change: differs once a file is replaced


class BlobFolder:
    """A folder of blobs; a file with a blob's name is complete and synced.

    The file's time says when the blob was last put or kept, so that one about to be named is not removed as unnamed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()  # so that a blob is not put and removed at once
        self._damaged: dict[str, _Stamp | None] = {}
        self._checked: OrderedDict[tuple[str, int], tuple[_Stamp, bytes]] = OrderedDict()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """Where blobs are, and beside them unfinished uploads."""
        return self._folder

    def path(self, name: str) -> Path:
        """The path of the blob with this digest, whether or not it exists."""
        return self._folder / name[:2] / name

    def put(self, data: bytes) -> str:
        """Write a blob, replacing a damaged one; returns its name."""
        name = digest(data)
        self.put_named(name, data)
        return name

    def put_named(self, name: str, data: bytes) -> None:
        """Write a blob under the name that the sender gave.

        Raises:
            Invalid: the bytes have another digest.
        """
        with self.receive(name) as upload:
            upload.write(data)
            upload.finish()

    def put_file(self, path: Path) -> BlobRef:
        """Write a blob from a file, block by block."""
        name = digest_of_file(path)
        with self.receive(name) as upload:
            for block in read_blocks(path):
                upload.write(block)
            upload.finish()
        return BlobRef(sha256=name, size_bytes=upload.size_bytes)

    def receive(self, name: str) -> "Upload":
        """Receive a blob under the name that the sender gave, block by block."""
        return Upload(self, name)

    def place(self, name: str, part: Path) -> None:
        """Move a synced file to its blob's name, unless that exists and is whole."""
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
        """The bytes of a blob.

        Raises:
            NotFound: it doesn't exist.
        """
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no blob {name}: upload it first") from None

    def read_chunk(self, name: str, index: int, chunk_bytes: int) -> bytes | None:
        """Chunk `index` of a blob; None if there isn't one, or if it must not be sent.

        Every chunk is checked before it is sent: the first read hashes the whole blob, and later reads compare chunks
        to the hashes of the first.
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
        """Blobs that could not be sent because the file is missing or does not match its name."""
        for name, stamp in list(self._damaged.items()):
            if self._stamp_of(name) != stamp:  # replaced since: checked again when it is wanted
                self._damaged.pop(name, None)
        return set(self._damaged)

    def _chunk_hashes(self, name: str, chunk_bytes: int, stamp: _Stamp, file: BinaryIO) -> bytes | None:
        """The concatenated hashes of a blob's chunks; None if the blob is damaged."""
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
        while len(self._checked) > MAX_CHECKED or (len(self._checked) > 1 and self._checked_bytes > MAX_CHECKED_BYTES):
            self._checked.popitem(last=False)
        return bytes(hashes)

    @property
    def _checked_bytes(self) -> int:
        return sum(len(hashes) for _, hashes in self._checked.values())

    def _note_damage(self, name: str, stamp: _Stamp | None) -> None:
        if name not in self._damaged:
            log.error("blob %s is damaged on disk and cannot be sent: add or compress the model again", name)
        self._damaged[name] = stamp

    def _stamp_of(self, name: str) -> _Stamp | None:
        try:
            return _stamp(self.path(name).stat())
        except OSError:
            return None

    def is_whole(self, name: str) -> bool:
        """Whether the blob is on disk and matches its name."""
        try:
            return digest_of_file(self.path(name)) == name
        except OSError:
            return False

    def keep(self, names: Iterable[str]) -> None:
        """Protect blobs that are about to be named from being removed as unnamed."""
        for name in names:
            with self._lock, suppress(OSError):
                os.utime(self.path(name))

    def written_ms(self) -> Iterator[tuple[str, int]]:
        """Every blob on disk, and when it was last put or kept."""
        for path in self._folder.glob("??/*"):
            with suppress(OSError):
                if _NAME.fullmatch(path.name):
                    yield path.name, _changed_ms(path)

    def since_ms(self, name: str) -> int:
        """When a blob was last put or kept; 0 if it doesn't exist."""
        try:
            return _changed_ms(self.path(name))
        except OSError:
            return 0

    def remove(self, name: str, unless_since_ms: int, forget: Callable[[str], None]) -> bool:
        """Remove a blob unless it was recently put or kept; returns whether it was removed.

        Args:
            name: the blob.
            unless_since_ms: the blob stays if it was put or kept at or after this time.
            forget: removes it from the store, before the file is deleted: a row without a file would promise devices
                a blob that is gone.
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
        """Delete unfinished uploads, left behind when the controller was killed."""
        for path in self._folder.iterdir():
            with suppress(OSError):
                if path.is_file() and _changed_ms(path) < before_ms:
                    path.unlink()


class Upload:
    """A blob being received into a temporary file, so that large ones don't take up memory."""

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
        """Check the blob and move it to its name.

        Raises:
            Invalid: the bytes have another digest.
        """
        if (found := self._hashed.hexdigest()) != self._name:
            raise Invalid(f"the bytes have the sha256 {found}, not {self._name}: send them again")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._blobs.place(self._name, Path(self._file.name))

    def __exit__(self, *_: object) -> None:
        """Delete the temporary file unless it was finished."""
        with suppress(OSError):  # on a full disk, the first error is the one to report
            self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _changed_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000
