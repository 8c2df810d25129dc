"""Encodings: the bytes come back, and a bomb stays small."""

import random
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tests.memory import grown_mb

from edgefleet_protocol.blocks import cuts
from edgefleet_protocol.encoding import (
    LEVEL,
    MOST_CUT_BYTES,
    QUICK_LEVEL,
    WINDOW_LOG,
    _level,
    compress,
    compress_file,
    decompress,
    unfold,
)
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


def large_file(folder: Path, block: bytes) -> Path:
    """A file beyond what is encoded in memory."""
    path = folder / "large"
    with path.open("wb") as file:
        for _ in range(MOST_CUT_BYTES // len(block) + 1):
            file.write(block)
    return path


def test_a_file_that_fits_in_memory_is_encoded_as_its_bytes_are(tmp_path: Path) -> None:
    source = tmp_path / "small"
    source.write_bytes(bytes(range(256)) * 100)
    assert compress_file(source, tmp_path / "frame") == len(compress(source.read_bytes()))
    assert (tmp_path / "frame").read_bytes() == compress(source.read_bytes())


def test_a_large_file_is_a_frame_with_its_size_and_a_window_that_devices_have_room_for(tmp_path: Path) -> None:
    source, beats = large_file(tmp_path, bytes(range(256)) * 4096), list[None]()
    size = compress_file(source, tmp_path / "frame", lambda: beats.append(None))
    frame = (tmp_path / "frame").read_bytes()
    assert len(frame) == size and zstd.get_frame_info(frame).decompressed_size == source.stat().st_size
    assert b"".join(unfold([frame], source.stat().st_size)) == source.read_bytes()
    assert zstd.decompress(frame, options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})
    assert len(beats) == -(-source.stat().st_size // 2**20)


def test_a_large_file_gets_the_slow_level_only_where_that_pays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fp32 = large_file(tmp_path, rng.standard_normal(2**20, dtype=np.float32).tobytes())
    assert _level(fp32, fp32.stat().st_size) == QUICK_LEVEL
    text = " ".join(f"conv{i % 97}.weight layer{i % 89} bias{i % 31}" for i in range(60_000)).encode()
    worth_it = large_file(tmp_path, text)
    assert _level(worth_it, worth_it.stat().st_size) == LEVEL


def test_encoding_and_unfolding_a_large_file_take_little_memory(tmp_path: Path) -> None:
    large_file(tmp_path, np.random.default_rng(0).standard_normal(2**20, dtype=np.float32).tobytes())
    source = "from edgefleet_protocol.encoding import compress_file, unfold\nlarge = Path('large')\n"
    assert grown_mb(source, "compress_file(large, Path('frame'))", tmp_path) < 48
    reading = "for piece in unfold(read_blocks(Path('frame')), large.stat().st_size): pass"
    assert grown_mb(f"{source}from edgefleet_process.reading import read_blocks", reading, tmp_path) < 12
