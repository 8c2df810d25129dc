"""Collect the chunks of one blob: a small blob in memory, an encoding in a file that survives a power cut."""

import base64
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

from edgefleet_agent.errors import Rejected
from edgefleet_agent.failpoints import reach
from edgefleet_agent.files import replace_file
from edgefleet_process.durable import sync
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import (
    HASH_BYTES,
    SMALL_BLOB_CHUNK_BYTES,
    Bitmap,
    chunk_count,
    chunk_hash,
    chunk_size,
)
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.manifest import BlobRef, Encoding

SYNC_EVERY_S = 0.5
SYNC_EVERY_BYTES = 4_000_000  # for fast links; a sync costs as much as several chunks
MAX_WRONG_BLOBS = 3


Fate = Literal["stored", "repeated", "wrong"]
"""What became of a chunk: new and kept, already here, or not of this blob."""


class Sink(Protocol):
    """One blob that is being received."""

    blob: BlobRef
    chunk_bytes: int
    wants: int
    """How often it was requested."""
    wrong: int
    """How many chunks did not belong to this blob."""

    @property
    def received(self) -> Bitmap:
        """The chunks received so far."""

    def put(self, index: int, data: bytes) -> Fate:
        """Take a chunk.

        Raises:
            Rejected: blob_corrupt, the whole blob does not match its digest.
        """

    def sync(self, force: bool = False) -> None:
        """Sync received chunks when it is time, or now with `force`."""


class MemorySink:
    """A blob without a hash list: collected in memory and verified as a whole; who names it has checked its size."""

    def __init__(self, blob: BlobRef, chunk_bytes: int = SMALL_BLOB_CHUNK_BYTES) -> None:
        self.blob, self.chunk_bytes, self.wants, self.wrong = blob, chunk_bytes, 0, 0
        self.received = Bitmap(chunk_count(blob.size_bytes, chunk_bytes))
        self._data = bytearray(blob.size_bytes)
        self._wrong_blobs = 0

    def put(self, index: int, data: bytes) -> Fate:
        """Take a chunk of the right size; a complete blob with the wrong digest starts anew."""
        if index in self.received:
            return "repeated"
        if index >= self.received.count or len(data) != chunk_size(index, self.blob.size_bytes, self.chunk_bytes):
            self.wrong += 1
            return "wrong"
        self._data[index * self.chunk_bytes : index * self.chunk_bytes + len(data)] = data
        self.received.set(index)
        if len(self.received) == self.received.count and digest(bytes(self._data)) != self.blob.sha256:
            self.received = Bitmap(self.received.count)
            self.wrong += self.received.count
            self._wrong_blobs += 1
            if self._wrong_blobs >= MAX_WRONG_BLOBS:
                raise Rejected(
                    "blob_corrupt", f"blob {self.blob.sha256} arrived {self._wrong_blobs} times with another digest"
                )
        return "stored"

    def sync(self, force: bool = False) -> None:
        """Nothing is on the disk to sync."""

    def data(self) -> bytes:
        """The whole blob, once it is complete."""
        return bytes(self._data)


class FileSink:
    """An encoding: chunks whose hash matches go to a preallocated file, then into the bitmap beside it.

    The bitmap on the disk never claims more than is synced: the data is synced first, then the bitmap replaced.

    Args:
        path: the file; `path` + `.bitmap` is the bitmap, with the seconds and requests used so far.
        encoding: what to fetch.
        hashes: its hash list.
        began_s: when this run of the agent began the download, on the monotonic clock.

    Raises:
        Rejected: manifest_invalid, the hash list has the wrong length; no_space, the file cannot be created.
    """

    def __init__(self, path: Path, encoding: Encoding, hashes: bytes, began_s: float) -> None:
        self.blob, self.chunk_bytes = encoding.blob, encoding.chunk_bytes
        count = chunk_count(self.blob.size_bytes, self.chunk_bytes)
        if len(hashes) != count * HASH_BYTES:
            raise Rejected(
                "manifest_invalid", f"the hash list has {len(hashes)} bytes, {count} chunks need {HASH_BYTES} each"
            )
        self.path, self._hashes = path, hashes
        self._bitmap_path = bitmap_path(path)
        self.wants, self.wrong, self.seconds_before = 0, 0, 0.0
        self._unsynced = 0
        self._synced_at_s = time.monotonic()
        self._began_s = began_s
        self.received = self._resume(count)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._reserve()

    @property
    def seconds(self) -> float:
        """How long the attempt has been downloading, including earlier runs of the agent."""
        return self.seconds_before + time.monotonic() - self._began_s

    def put(self, index: int, data: bytes) -> Fate:
        """Take a chunk whose hash matches the list."""
        own = index < self.received.count and len(data) == chunk_size(index, self.blob.size_bytes, self.chunk_bytes)
        if not own or chunk_hash(data) != self._hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]:
            self.wrong += 1
            return "wrong"
        if index in self.received:
            return "repeated"
        os.pwrite(self._descriptor, data, index * self.chunk_bytes)
        reach("chunk_written")
        self.received.set(index)
        self._unsynced += 1
        self.sync(force=len(self.received) == self.received.count)
        return "stored"

    def sync(self, force: bool = False) -> None:
        """Sync the data, then the bitmap: half a second after a chunk came, or every 4 MB."""
        much = self._unsynced * self.chunk_bytes >= SYNC_EVERY_BYTES
        due = much or time.monotonic() - self._synced_at_s >= SYNC_EVERY_S
        if not self._unsynced or not (due or force):
            return
        os.fsync(self._descriptor)
        reach("chunks_synced")
        told = {
            "blob": self.blob.sha256,
            "chunk_bytes": self.chunk_bytes,
            "bitmap": self.received.to_text(),
            "seconds": round(self.seconds, 3),
            "wants": self.wants,
        }
        replace_file(self._bitmap_path, json.dumps(told).encode())
        reach("bitmap_replaced")
        self._unsynced, self._synced_at_s = 0, time.monotonic()

    def close(self) -> None:
        """Sync if possible, and close the file; chunks that were not synced are fetched again."""
        with suppress(OSError):
            self.sync(force=True)
        os.close(self._descriptor)

    def _resume(self, count: int) -> Bitmap:
        try:
            told = json.loads(self._bitmap_path.read_bytes())
            same = told["blob"] == self.blob.sha256 and told["chunk_bytes"] == self.chunk_bytes
            if not same or not self.path.exists():
                return Bitmap(count)
            received = Bitmap(count, base64.b64decode(told["bitmap"]))
            self.seconds_before, self.wants = float(told["seconds"]), int(told["wants"])
        except (OSError, ValueError, KeyError, TypeError, MalformedMessage):
            return Bitmap(count)
        reach("download_resumed")
        return received

    def _reserve(self) -> None:
        # Reserve now, to find a full disk before the download and not in the middle of it.
        try:
            os.posix_fallocate(self._descriptor, 0, max(self.blob.size_bytes, 1))
            os.ftruncate(self._descriptor, self.blob.size_bytes)
            os.fsync(self._descriptor)
            sync(self.path.parent)
            reach("space_reserved")
        except OSError as error:
            os.close(self._descriptor)
            raise Rejected("no_space", f"{self.blob.size_bytes} bytes cannot be reserved: {error.strerror}") from None


def bitmap_path(path: Path) -> Path:
    """The path of a partial file's bitmap."""
    return path.with_name(f"{path.name}.bitmap")


def synced_chunks(path: Path) -> int:
    """How many chunks of a partial file are known to be on the disk."""
    try:
        told = json.loads(bitmap_path(path).read_bytes())
        return int.from_bytes(base64.b64decode(told["bitmap"]), "little").bit_count()
    except (OSError, ValueError, KeyError, TypeError):
        return 0
