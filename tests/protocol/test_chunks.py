"""Chunks: frames, hashes and the bitmap of what is missing."""

import random
from hashlib import sha256

import pytest

from edgefleet_protocol import chunks as c
from edgefleet_protocol.errors import MalformedFrame, MalformedMessage


def test_a_frame_brings_its_index_and_its_bytes() -> None:
    assert c.parse_frame(c.frame(2**32 - 1, b"chunk")) == c.Frame(2**32 - 1, b"chunk")
    stamped = c.frame(7, b"chunk", c.Sending(2**32 + 5, 5000))
    assert stamped == bytes.fromhex("02 00000007 00000005 00001388") + b"chunk"
    assert c.parse_frame(stamped) == c.Frame(7, b"chunk", c.Sending(5, 5000))


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x01\0\0\0\0", b"\x02\0\0\0\0x", b"\xff" * 60_000, b"\x02" + bytes(12) + b"x"]
)
def test_a_frame_that_tells_nothing_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedFrame):
        c.parse_frame(data)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 95, 100])
def test_the_chunks_of_a_blob_make_up_the_blob(size: int) -> None:
    count = c.chunk_count(size, 10)
    sizes = [c.chunk_size(index, size, 10) for index in range(count)]
    assert sum(sizes) == size
    assert all(part == 10 for part in sizes[:-1])
    assert not sizes or 0 < sizes[-1] <= 10


def test_the_hash_list_holds_16_bytes_of_each_chunks_sha256() -> None:
    data = random.Random(1).randbytes(25)
    parts = [data[:10], data[10:20], data[20:]]
    assert c.hash_list(data, 10) == b"".join(sha256(part).digest()[:16] for part in parts)
    assert c.hash_list(b"", 10) == b""


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 1000])
def test_a_bitmap_survives_the_wire(count: int) -> None:
    marked = {index for index in range(count) if random.Random(index).random() < 0.5}
    bitmap = c.Bitmap(count)
    for index in marked:
        bitmap.set(index)
    read = c.Bitmap.from_text(count, bitmap.to_text())
    assert set(read) == marked
    assert len(read) == len(marked)
    assert set(read.inverted()) == set(range(count)) - marked
    assert c.Bitmap(count, read.to_bytes()).to_text() == bitmap.to_text()


def test_bits_stand_lowest_first() -> None:
    bitmap = c.Bitmap(9)
    bitmap.set(0)
    bitmap.set(8)
    assert bitmap.to_bytes() == b"\x01\x01"
    bitmap.clear(0)
    assert list(bitmap) == [8]


def test_a_full_bitmap_has_every_chunk_and_nothing_beyond() -> None:
    full = c.Bitmap.full(11)
    assert list(full) == list(range(11))
    assert len(full) == 11
    assert -1 not in full
    assert 11 not in full


@pytest.mark.parametrize("index", [-1, 10, 15, 16, 2**32 - 1])
def test_an_index_off_the_wire_never_marks_another_chunk(index: int) -> None:
    bitmap = c.Bitmap(10)
    with pytest.raises(IndexError):
        bitmap.set(index)
    with pytest.raises(IndexError):
        bitmap.clear(index)
    assert bitmap.to_bytes() == b"\0\0"


@pytest.mark.parametrize("text", ["", "AQ==", "AAAA", "////", "A/8=", "!!!!", "AP8=\n", "ÄÖ"])
def test_text_that_is_no_bitmap_of_this_length_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        c.Bitmap.from_text(10, text)
