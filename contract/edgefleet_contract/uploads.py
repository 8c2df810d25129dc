"""What is told of a file before it is uploaded, and what of that no controller takes."""

import base64
import binascii
import struct
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from edgefleet_contract.base import Request, Shape
from edgefleet_contract.formats import INSTEAD, RUNS_CODE, runs_code

MAX_ONNX_BYTES = 2**31 - 1
"""No protobuf message, and so no ONNX file, is larger."""
MAX_FILE_BYTES = 2**31 - 1
BEGINNING_BYTES = 4096
GRAPH = 7
"""The number of the field of an ONNX file that holds everything large."""
TOO_LARGE = (
    "the model has {size:,} bytes: at most 2,147,483,647 are possible in one file with all of its weights: make it "
    "smaller, for example by exporting it in fp16"
)
NO_ONNX = "this is not an ONNX file: export the model as ONNX"

FileKind = Literal["card", "onnx", "weights", "data"]


class UploadOffer(Request):
    """A file that is about to be uploaded: what it is for, its size, and its first 4 KB in base64."""

    kind: FileKind
    size_bytes: Annotated[int, Field(ge=0, lt=2**62)]
    begins: Annotated[str, Field(max_length=4 * -(-BEGINNING_BYTES // 3))] = ""


class UploadVerdict(Shape):
    """Whether the controller holds the file already, so that it need not be sent."""

    held: bool


def offer(kind: FileKind, size_bytes: int, beginning: bytes) -> UploadOffer:
    """The offer of a file with this beginning."""
    begins = base64.b64encode(beginning[:BEGINNING_BYTES]).decode()
    return UploadOffer(kind=kind, size_bytes=size_bytes, begins=begins)


def refusal(offered: UploadOffer) -> str | None:
    """Why a file cannot be taken, as far as its size and beginning tell; None if they tell nothing against it."""
    size = offered.size_bytes
    if offered.kind == "onnx" and size > MAX_ONNX_BYTES:
        return TOO_LARGE.format(size=size)
    if size > MAX_FILE_BYTES:
        return f"the file has {size:,} bytes: at most {MAX_FILE_BYTES:,} are taken"
    try:
        head = base64.b64decode(offered.begins, validate=True)
    except (binascii.Error, ValueError):
        return "'begins' is not base64: send the file's first bytes"
    if found := runs_code(head):
        return f"the file is {found} and is refused: {RUNS_CODE}. {INSTEAD}"
    if offered.kind == "onnx" and not _may_be_onnx(head, size):
        return NO_ONNX
    if offered.kind == "data" and not head.startswith(b"PK"):
        return "this is not an npz file: save the samples with numpy.savez"
    if offered.kind == "weights" and not _may_be_safetensors(head, size):
        return "this is not a safetensors file: save the weights with safetensors"
    return None


def _may_be_onnx(head: bytes, size_bytes: int) -> bool:
    """Whether the fields of a protobuf message fill the beginning, and those that go on beyond it end in the file."""
    numbers = list(_fields(head, size_bytes))
    whole = len(head) == size_bytes
    return bool(numbers) and None not in numbers and (GRAPH in numbers or not whole)


def _fields(head: bytes, size_bytes: int) -> Iterator[int | None]:
    """The numbers of the fields that begin in `head`; None for what no ONNX file has."""
    at = 0
    while at < len(head):
        try:
            tag, after = _varint(head, at)
            number, wire = tag >> 3, tag & 7
            value, end = _varint(head, after)
        except IndexError:  # the beginning ends within this field's own beginning
            if len(head) == size_bytes:
                yield None
            return
        if wire == 2:
            end += value
        if wire not in (0, 2) or not 1 <= number <= MOST_FIELDS or end > size_bytes:
            yield None
            return
        yield number
        at = end


MOST_FIELDS = 100
"""Far beyond those of an ONNX file, of which the last is 26."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, at


def _may_be_safetensors(head: bytes, size_bytes: int) -> bool:
    """Whether it begins with the length of a header that fits, and that header with a brace."""
    return len(head) > 8 and struct.unpack_from("<Q", head)[0] <= size_bytes - 8 and head[8:9] == b"{"
