"""Encodings: zstd frames of a variant's ONNX file, any standard decoder reads them."""

import sys

from edgefleet_protocol.errors import CorruptBlob

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 19


def compress(data: bytes) -> bytes:
    """`data` as one zstd frame."""
    return bytes(zstd.compress(data, level=LEVEL))


def decompress(data: bytes, size_bytes: int) -> bytes:
    """The `size_bytes` bytes that a frame holds; more are never unfolded, so that a bomb stays small.

    Raises:
        CorruptBlob: no zstd frame, or not of this size.
    """
    decoder = zstd.ZstdDecompressor()
    try:
        plain = bytes(decoder.decompress(data, max_length=size_bytes + 1))
    except zstd.ZstdError as error:
        raise CorruptBlob(f"the encoding is no zstd frame: {error}") from None
    if len(plain) != size_bytes:
        raise CorruptBlob(f"the encoding unfolds to another size than the {size_bytes} bytes of the manifest")
    return plain
