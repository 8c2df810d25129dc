"""Chunks of a blob: frames, hashes, and the bitmap of what is missing."""

import base64
import binascii
import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO

from edgefleet_protocol.errors import MalformedFrame, MalformedMessage

FRAME_VERSION = 1
_HEADER = struct.Struct(">BI")
HASH_BYTES = 16
SMALL_BLOB_CHUNK_BYTES = 4 * 1024
"""Chunk size of blobs that come without a hash list: manifests, golden sets, hash lists."""


def frame(index: int, data: bytes) -> bytes:
    """Chunk `index` as it travels: version byte, index (4 bytes, big-endian), bytes."""
    return _HEADER.pack(FRAME_VERSION, index) + data


def parse_frame(data: bytes) -> tuple[int, bytes]:
    """The index and the bytes of a chunk.

    Raises:
        MalformedFrame: too short, or of an unknown version.
    """
    if len(data) <= _HEADER.size:
        raise MalformedFrame(f"a frame of {len(data)} bytes is too short to hold a chunk")
    version, index = _HEADER.unpack_from(data)
    if version != FRAME_VERSION:
        raise MalformedFrame(f"unknown frame version {version}")
    return index, data[_HEADER.size :]


def chunk_count(size_bytes: int, chunk_bytes: int) -> int:
    """How many chunks a blob has; an empty blob has 0."""
    return -(-size_bytes // chunk_bytes)


def chunk_size(index: int, size_bytes: int, chunk_bytes: int) -> int:
    """The size of chunk `index`, in bytes; the last chunk is whatever remains."""
    return min(chunk_bytes, size_bytes - index * chunk_bytes)


def chunk_hash(data: bytes) -> bytes:
    """The first 16 bytes of the sha256 of a chunk."""
    return sha256(data).digest()[:HASH_BYTES]


def hash_list(data: bytes, chunk_bytes: int) -> bytes:
    """The hashes of all chunks of `data`, concatenated."""
    return b"".join(chunk_hash(data[at : at + chunk_bytes]) for at in range(0, len(data), chunk_bytes))


def hash_list_of(file: BinaryIO, chunk_bytes: int) -> bytes:
    """The hashes of all chunks of an open file, concatenated; a chunk at a time is in memory."""
    hashes = bytearray()
    while chunk := file.read(chunk_bytes):
        hashes += chunk_hash(chunk)
    return bytes(hashes)


class Bitmap:
    """Which of `count` chunks are set; base64 on the wire, lowest bit first."""

    def __init__(self, count: int, data: bytes | None = None) -> None:
        self.count = count
        self._bits = bytearray(data if data is not None else (count + 7) // 8)
        if len(self._bits) != (count + 7) // 8:
            raise MalformedMessage(f"a bitmap of {len(self._bits)} bytes does not fit {count} chunks")
        if count % 8 and self._bits[-1] >> count % 8:
            raise MalformedMessage(f"the bitmap sets bits beyond its {count} chunks")

    @classmethod
    def full(cls, count: int) -> "Bitmap":
        """All chunks set."""
        bitmap = cls(count)
        for index in range(count):
            bitmap.set(index)
        return bitmap

    @classmethod
    def from_text(cls, count: int, text: str) -> "Bitmap":
        """Read a bitmap off the wire.

        Raises:
            MalformedMessage: not base64, or not of this length.
        """
        try:
            return cls(count, base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise MalformedMessage(f"not a bitmap of {count} chunks: {error}") from None

    def set(self, index: int) -> None:
        """Mark chunk `index`."""
        self._check(index)
        self._bits[index >> 3] |= 1 << (index & 7)

    def clear(self, index: int) -> None:
        """Unmark chunk `index`."""
        self._check(index)
        self._bits[index >> 3] &= ~(1 << (index & 7))

    def _check(self, index: int) -> None:
        # An index off the wire must not count from the end, nor mark the padding of the last byte.
        if not 0 <= index < self.count:
            raise IndexError(f"no chunk {index} among {self.count}")

    def __contains__(self, index: int) -> bool:
        return 0 <= index < self.count and bool(self._bits[index >> 3] >> (index & 7) & 1)

    def __iter__(self) -> Iterator[int]:
        return (index for index in range(self.count) if index in self)

    def __len__(self) -> int:
        return int.from_bytes(self._bits, "little").bit_count()

    def inverted(self) -> "Bitmap":
        """The chunks that are not marked here."""
        other = Bitmap.full(self.count)
        for index in self:
            other.clear(index)
        return other

    def to_bytes(self) -> bytes:
        """The bits, lowest first."""
        return bytes(self._bits)

    def to_text(self) -> str:
        """The bits as they travel."""
        return base64.b64encode(self._bits).decode()
