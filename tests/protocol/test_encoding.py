"""Encodings: the bytes come back, and a bomb stays small."""

import random
import sys
import tracemalloc

import pytest

from edgefleet_protocol.blocks import cuts
from edgefleet_protocol.encoding import compress, decompress
from edgefleet_protocol.errors import CorruptBlob

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.mark.parametrize("data", [b"", b"x", random.Random(1).randbytes(300_000), b"abc" * 1_000_000])
def test_what_is_compressed_comes_back(data: bytes) -> None:
    assert decompress(compress(data), len(data)) == data


def test_any_zstd_decoder_reads_an_encoding() -> None:
    assert zstd.decompress(compress(b"model" * 1000)) == b"model" * 1000


def test_sparse_ternary_weights_travel_in_fewer_bytes_than_by_level_19() -> None:
    source = random.Random(7)
    weights = bytes(source.randint(-1, 1) % 256 if source.random() > 0.5 else 0 for _ in range(20_000))
    assert len(compress(weights)) < 0.99 * len(zstd.compress(weights, level=19))


def layers() -> bytes:
    """Weights of few levels, of more, and noise, one after the other, as layers of different bits are."""
    source = random.Random(8)
    parts = [bytes(source.choices(range(levels), k=6_000)) for levels in (3, 15, 127, 2)]
    return b"".join(parts) + source.randbytes(1_000)


def test_layers_of_different_bits_are_each_coded_by_a_table_of_their_own() -> None:
    data = layers()
    frame = compress(data)
    assert len(frame) < 0.9 * len(zstd.compress(data, level=19))
    assert zstd.decompress(frame) == data


def test_a_frame_says_how_much_it_holds_so_that_a_device_reserves_no_more() -> None:
    data = layers()
    assert zstd.get_frame_info(compress(data)).decompressed_size == len(data)


@pytest.mark.parametrize("levels", [(16,), (16, 16)])
def test_what_is_of_one_kind_is_not_cut(levels: tuple[int, ...]) -> None:
    source = random.Random(9)
    assert cuts(b"".join(bytes(source.choices(range(n), k=8_000)) for n in levels)) == []


def test_cuts_fall_where_the_kind_changes() -> None:
    source = random.Random(10)
    data = bytes(source.choices(range(3), k=8_192)) + bytes(source.choices(range(100), k=8_192))
    assert cuts(data) == [8_192] and cuts(b"") == cuts(b"x") == []


@pytest.mark.parametrize("size", [0, 1, 9_999, 10_001, 2**61])
def test_another_size_than_the_manifests_is_refused(size: int) -> None:
    with pytest.raises(CorruptBlob):
        decompress(compress(bytes(10_000)), size)


@pytest.mark.parametrize("data", [b"x" * 100, b"\x28\xb5\x2f\xfd", compress(b"abc" * 5000)[:-4], b"\0" * 4])
def test_bytes_that_are_no_whole_frame_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptBlob):
        decompress(data, 15_000)


def test_a_bomb_is_never_unfolded() -> None:
    bomb = compress(bytes(200_000_000))
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(CorruptBlob):
            decompress(bomb, 50_000)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2_000_000
