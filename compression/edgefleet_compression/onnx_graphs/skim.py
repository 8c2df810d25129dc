"""Reads an ONNX file without its large weights, whose bytes are passed over, so that a look at it takes little memory.

A protobuf message is a row of fields, each a tag, and a length where it is bytes or another message
(https://protobuf.dev/programming-guides/encoding). What is large is nearly always `raw_data` of tensors: one byte is
put in its place.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import onnx
from onnx import TensorProto

from edgefleet_compression.errors import GraphError
from edgefleet_contract.uploads import NO_ONNX

LARGE_BYTES = 64 * 1024
"""Smaller messages are taken whole."""
BLOCK_BYTES = 1 << 20
PLACEHOLDER = b"\0"
MOST_DEPTH = 100
"""As deep as protobuf itself reads."""

IR_VERSION = 1
"""The number of its field."""

_RAW = "raw_data"
_INNER: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "tensor": {9: _RAW},
}
"""By onnx.proto3: where messages with large tensors lie, by the number of their field."""
_BITS: dict[int, int] = {TensorProto.INT4: 4, TensorProto.UINT4: 4}


class _Field(NamedTuple):
    """One field: its number, the bytes of its tag, and where its content begins and ends."""

    number: int
    tag: bytes
    has_length: bool
    begin: int
    end: int


def skim(path: Path) -> onnx.ModelProto:
    """The model of a file with a placeholder for the bytes of each large tensor; see `is_skipped`.

    Raises:
        GraphError: it is no ONNX file, or a large tensor has other bytes than its shape and type need.
    """
    with path.open("rb") as file:
        data = _skimmed(file, "model", 0, path.stat().st_size, 0)
    return parsed(data)


def parsed(data: bytes) -> onnx.ModelProto:
    """The model of an ONNX file's bytes.

    Raises:
        GraphError: it is no ONNX file.
    """
    try:
        return onnx.load_model_from_string(data)
    except Exception:  # protobuf's own type
        raise GraphError(NO_ONNX) from None


def with_ir_version(source: Path, target: Path, most: int) -> None:
    """Copy an ONNX file, and lower its IR version to `most` if it is higher; every other byte stays as it is.

    Raises:
        GraphError: it is no ONNX file.
    """
    with source.open("rb") as file, target.open("wb") as copy:
        for field in _fields(file, 0, source.stat().st_size):
            copy.write(field.tag + (_varint(field.end - field.begin) if field.has_length else b""))
            if field.number == IR_VERSION and not field.has_length:
                copy.write(_varint(min(_number(_read(file, field.begin, field.end), 0)[0], most)))
                continue
            for begin in range(field.begin, field.end, BLOCK_BYTES):
                copy.write(_read(file, begin, min(begin + BLOCK_BYTES, field.end)))


def is_skipped(tensor: TensorProto) -> bool:
    """Whether `skim` has put a placeholder in the place of a tensor's bytes."""
    return bool(tensor.raw_data == PLACEHOLDER) and needed_bytes(tensor) > len(PLACEHOLDER)


def _skimmed(file: BinaryIO, kind: str, begin: int, end: int, depth: int) -> bytes:
    if depth > MOST_DEPTH:
        raise GraphError(NO_ONNX)
    inner, parts, skipped = _INNER[kind], [], None
    for field in _fields(file, begin, end):
        within, size = inner.get(field.number), field.end - field.begin
        if within is None or not field.has_length or size < LARGE_BYTES:
            content = _read(file, field.begin, field.end)
        elif within == _RAW:
            content, skipped = PLACEHOLDER, size
        else:
            content = _skimmed(file, within, field.begin, field.end, depth + 1)
        parts += [field.tag, _varint(len(content)) if field.has_length else b"", content]
    made = b"".join(parts)
    if skipped is not None:
        _check_size(made, skipped)
    return made


def _fields(file: BinaryIO, begin: int, end: int) -> Iterator[_Field]:
    at = begin
    while at < end:
        # A tag and a length, or a tag and a number: at most ten bytes each.
        head = _read(file, at, min(at + 20, end))
        tag, tag_bytes = _number(head, 0)
        number, wire = tag >> 3, tag & 7
        start = at + tag_bytes
        if wire == 2:
            size, size_bytes = _number(head, tag_bytes)
            start += size_bytes
        elif wire == 0:
            size = _number(head, tag_bytes)[1]
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise GraphError(NO_ONNX)
        if not number or start + size > end:
            raise GraphError(NO_ONNX)
        yield _Field(number, head[:tag_bytes], wire == 2, start, start + size)
        at = start + size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and how many bytes it takes."""
    value = 0
    for count, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, count + 1
    raise GraphError(NO_ONNX)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _read(file: BinaryIO, begin: int, end: int) -> bytes:
    file.seek(begin)
    return file.read(end - begin)


def _check_size(data: bytes, held_bytes: int) -> None:
    try:
        tensor = TensorProto.FromString(data)
    except Exception:  # protobuf's own type
        raise GraphError(NO_ONNX) from None
    if (needed := needed_bytes(tensor)) != held_bytes:
        told = f"it holds {held_bytes:,} bytes, and its shape needs {needed:,}"
        raise GraphError(f"the weight '{tensor.name}' cannot be read ({told}): export it again")


def needed_bytes(tensor: TensorProto) -> int:
    """How many bytes a tensor's numbers take, by its shape and type; 0 for a type that has no size of its own."""
    try:
        whole = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError):
        return 0
    count = math.prod(int(size) for size in tensor.dims)
    return -(-count * _BITS.get(tensor.data_type, 8 * int(whole)) // 8)
