"""Chunks of a blob: frames, hashes, and the bitmap of what is missing."""

import base64
import binascii
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

from edgefleet_protocol.errors import MalformedFrame, MalformedMessage

FRAME_VERSION, STAMPED_VERSION = 1, 2
_HEADER, _STAMPED = struct.Struct(">BI"), struct.Struct(">BIII")
STAMPS = 1 << 32
"""Stamps count milliseconds, and begin again after this many."""
HASH_BYTES = 16
SMALL_BLOB_CHUNK_BYTES = 4 * 1024
"""Chunk size of blobs that come without a hash list: manifests, golden sets, hash lists."""


@dataclass(frozen=True)
class Sending:
    """When a chunk was sent, and what its channel carries.

    Attributes:
        sent_ms: in milliseconds, by a steady clock of the controller's, modulo `STAMPS`.
        channel_kbps: the channel's rate, in kbit/s, by the controller's catalogue; at least 1.
    """

    sent_ms: int
    channel_kbps: int


@dataclass(frozen=True)
class Frame:
    """A chunk as it arrived, and how it was sent, if its frame says so."""

    index: int
    data: bytes
    sending: Sending | None = None


def frame(index: int, data: bytes, sending: Sending | None = None) -> bytes:
    """Chunk `index` as it travels: version byte, index (4 bytes, big-endian), how it was sent (8 bytes), bytes."""
    if sending is None:
        return _HEADER.pack(FRAME_VERSION, index) + data
    stamp, kbps = sending.sent_ms % STAMPS, min(max(sending.channel_kbps, 1), STAMPS - 1)
    return _STAMPED.pack(STAMPED_VERSION, index, stamp, kbps) + data


def parse_frame(data: bytes) -> Frame:
    """A chunk off the wire.

    Raises:
        MalformedFrame: too short, of an unknown version, or of a channel that carries nothing.
    """
    header = _STAMPED if data[:1] == bytes([STAMPED_VERSION]) else _HEADER
    if len(data) <= header.size:
        raise MalformedFrame(f"a frame of {len(data)} bytes is too short to hold a chunk")
    version, index, *sending = header.unpack_from(data)
    if version not in (FRAME_VERSION, STAMPED_VERSION):
        raise MalformedFrame(f"unknown frame version {version}")
    if sending and not sending[1]:
        raise MalformedFrame("a frame says that its channel carries 0 kbit/s")
    return Frame(index, data[header.size :], Sending(*sending) if sending else None)


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
        return cls.of(count, range(count))

    @classmethod
    def of(cls, count: int, indexes: Iterable[int]) -> "Bitmap":
        """These chunks set.

        Raises:
            IndexError: there is no such chunk.
        """
        bitmap = cls(count)
        for index in indexes:
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
        return self.bits.bit_count()

    def inverted(self) -> "Bitmap":
        """The chunks that are not marked here."""
        bits = self.bits ^ ((1 << self.count) - 1)
        return Bitmap(self.count, bits.to_bytes(len(self._bits), "little"))

    @property
    def bits(self) -> int:
        """The bits as one number, chunk i being bit i."""
        return int.from_bytes(self._bits, "little")

    def union(self, other: "Bitmap") -> "Bitmap":
        """The chunks that are marked here or there; both have as many chunks."""
        return Bitmap(self.count, (self.bits | other.bits).to_bytes(len(self._bits), "little"))

    def to_bytes(self) -> bytes:
        """The bits, lowest first."""
        return bytes(self._bits)

    def to_text(self) -> str:
        """The bits as they travel."""
        return base64.b64encode(self._bits).decode()
