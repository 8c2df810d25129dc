"""Encodings: zstd frames of a variant's ONNX file, readable by any standard decoder."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from edgefleet_protocol.blocks import cuts
from edgefleet_protocol.errors import CorruptBlob

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_VERSION: str = zstd.zstd_version
LEVEL = 19
PIECE_BYTES = 1024 * 1024
STRATEGIES = (zstd.Strategy.fast, zstd.Strategy.btopt, zstd.Strategy.btultra, zstd.Strategy.btultra2)
MIN_MATCHES = (3, 5, 7)
CUT_WAYS = tuple((s, m) for m in (3, 5) for s in STRATEGIES[1:])
MOST_TRIED_BYTES = 256 * 1024
"""A larger file is encoded once: each other way would take seconds and save a fraction of a per cent."""
MOST_CUT_BYTES = 32 * 1024 * 1024
QUICK_LEVEL = 3
SAMPLES, SAMPLE_BYTES = 32, 64 * 1024
WORTH_IT = 0.99
"""Weights in fp32: level 3 gives 92.7 % at 200 MB/s, level 19 the same at 3 MB/s."""
WINDOW_LOG = 21
"""A decoder holds so much of what it has unfolded, 2 MB: devices have little memory beside the model."""
MOST_LEFT = 0.92
"""Weights in fp32 compress worse than this: their bytes are close to uniform, and splitting doesn't help."""


def compress(data: bytes) -> bytes:
    """`data` as one zstd frame: the smallest that several ways of searching for matches give.

    Level 19 searches for long matches. Quantized weights have few: matching less leaves more to the entropy coder,
    which does better there, and best if blocks end where the kind of data changes.
    """
    plain = zstd.compress(data, level=LEVEL)
    frames, small = [plain], len(data) <= MOST_TRIED_BYTES
    if small:
        frames += [zstd.compress(data, options=_options(s, m)) for s in STRATEGIES for m in MIN_MATCHES]
    codable = len(plain) < MOST_LEFT * len(data) and len(data) <= MOST_CUT_BYTES
    if codable and (ends := cuts(data)):
        ways = CUT_WAYS if small else CUT_WAYS[:1]
        frames += [_in_blocks(data, ends, _options(strategy, least)) for strategy, least in ways]
    return bytes(min(frames, key=len))


def compress_file(source: Path, target: Path, came_further: Callable[[], None] = lambda: None) -> int:
    """Encode a file, as `compress` does up to MOST_CUT_BYTES; a larger one is never wholly in memory.

    Args:
        source: what to encode.
        target: the file to write the frame to.
        came_further: called after each megabyte.

    Returns:
        The size of the frame, in bytes.
    """
    size_bytes = source.stat().st_size
    if size_bytes <= MOST_CUT_BYTES:
        target.write_bytes(compress(source.read_bytes()))
        return target.stat().st_size
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: _level(source, size_bytes),
        parameter.window_log: WINDOW_LOG,
    }
    compressor = zstd.ZstdCompressor(options=options)
    compressor.set_pledged_input_size(size_bytes)
    with source.open("rb") as file, target.open("wb") as frame:
        while block := file.read(PIECE_BYTES):
            frame.write(compressor.compress(block))
            came_further()
        frame.write(compressor.flush())
    return target.stat().st_size


def _level(source: Path, size_bytes: int) -> int:
    """The level for a large file: the highest only if it is worth its hundredfold time, by samples from all over it."""
    samples = []
    with source.open("rb") as file:
        for at in range(0, size_bytes, max(size_bytes // SAMPLES, SAMPLE_BYTES)):
            file.seek(at)
            samples.append(file.read(SAMPLE_BYTES))
    data = b"".join(samples)
    quick, best = (len(zstd.compress(data, level=level)) for level in (QUICK_LEVEL, LEVEL))
    return LEVEL if best < WORTH_IT * quick else QUICK_LEVEL


def _in_blocks(data: bytes, ends: Sequence[int], options: dict[int, int]) -> bytes:
    compressor = zstd.ZstdCompressor(options=options)
    compressor.set_pledged_input_size(len(data))  # in the header: without it a decoder reserves the largest window
    blocks = [
        compressor.compress(data[begin:end], compressor.FLUSH_BLOCK)
        for begin, end in zip((0, *ends), ends, strict=False)
    ]
    return b"".join([*blocks, compressor.compress(data[ends[-1] :], compressor.FLUSH_FRAME)])


def _options(strategy: zstd.Strategy, min_match: int) -> dict[int, int]:
    parameter = zstd.CompressionParameter
    return {parameter.compression_level: LEVEL, parameter.strategy: strategy, parameter.min_match: min_match}


def decompress(data: bytes, size_bytes: int) -> bytes:
    """The content of a frame, `size_bytes` long.

    Raises:
        CorruptBlob: not a zstd frame, or not of this size.
    """
    return b"".join(unfold([data], size_bytes))


def unfold(blocks: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    """The content of a frame, piece by piece; never unfolds more than `size_bytes`, to defuse zip bombs.

    Args:
        blocks: the frame, in blocks of any size.
        size_bytes: the size of its content.

    Raises:
        CorruptBlob: not a zstd frame, or not of this size.
    """
    decoder, left = zstd.ZstdDecompressor(), size_bytes
    try:
        for block in blocks:
            piece = decoder.decompress(block, max_length=min(left + 1, PIECE_BYTES))
            while piece or not (decoder.eof or decoder.needs_input):
                left -= len(piece)
                if left < 0:
                    raise CorruptBlob(f"the encoding unfolds to more than the manifest's {size_bytes} bytes")
                yield piece
                if decoder.eof:
                    break
                piece = decoder.decompress(b"", max_length=min(left + 1, PIECE_BYTES))
            if decoder.eof:
                break
    except zstd.ZstdError as error:
        raise CorruptBlob(f"the encoding is not a zstd frame: {error}") from None
    if left or not decoder.eof:
        raise CorruptBlob(f"the encoding is cut off, or unfolds to less than the manifest's {size_bytes} bytes")
