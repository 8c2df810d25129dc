"""The types of tensors, as each party calls them. No numpy: an agent's supervisor has none.

Texts travel as the Open Inference Protocol's raw BYTES: each after its length, four bytes little-endian.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BYTES = "BYTES"
LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Datatype:
    """One type of tensor.

    Attributes:
        name: in the Open Inference Protocol.
        runtime: in onnxruntime.
        numpy: the array's type; `O` for texts.
        size_bytes: of one value, the least of a text.
        code: one value's code in `struct`; empty for texts.
        from_json: the code by which `array` packs numbers; empty if they must be sent as raw bytes.
    """

    name: str
    runtime: str
    numpy: str
    size_bytes: int
    code: str
    from_json: str


_ALL = (
    Datatype("FP32", "tensor(float)", "<f4", 4, "f", "f"),
    Datatype("FP64", "tensor(double)", "<f8", 8, "d", "d"),
    Datatype("FP16", "tensor(float16)", "<f2", 2, "e", ""),
    Datatype("UINT8", "tensor(uint8)", "u1", 1, "B", "B"),
    Datatype("UINT16", "tensor(uint16)", "<u2", 2, "H", "H"),
    Datatype("UINT32", "tensor(uint32)", "<u4", 4, "I", "I"),
    Datatype("UINT64", "tensor(uint64)", "<u8", 8, "Q", "Q"),
    Datatype("INT8", "tensor(int8)", "i1", 1, "b", "b"),
    Datatype("INT16", "tensor(int16)", "<i2", 2, "h", "h"),
    Datatype("INT32", "tensor(int32)", "<i4", 4, "i", "i"),
    Datatype("INT64", "tensor(int64)", "<i8", 8, "q", "q"),
    Datatype("BOOL", "tensor(bool)", "?", 1, "?", "B"),
    Datatype(BYTES, "tensor(string)", "O", LENGTH_BYTES, "", ""),
)
BY_NAME = {one.name: one for one in _ALL}
BY_RUNTIME = {one.runtime: one for one in _ALL}


def pack_texts(texts: Iterable[bytes]) -> bytes:
    """Texts as the raw bytes of a BYTES tensor."""
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def texts_in(data: bytes, count: int, at: int = 0) -> Iterator[bytes]:
    """The next `count` texts of raw bytes, from `at` on.

    Raises:
        ValueError: there are fewer, or one is longer than what is left.
    """
    for _ in range(count):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(data[at:begin], "little")
        if begin > len(data) or at > len(data):
            raise ValueError(f"{len(data)} bytes do not hold {count} texts, each after its length in four bytes")
        yield data[begin:at]


def size_of(datatype: str, data: bytes, count: int, at: int = 0) -> int:
    """How many bytes `count` values take in `data` from `at` on.

    Raises:
        ValueError: they are texts, and not all there.
    """
    if datatype != BYTES:
        return count * BY_NAME[datatype].size_bytes
    return sum(LENGTH_BYTES + len(text) for text in texts_in(data, count, at))
