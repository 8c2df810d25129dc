"""What cannot be taken is refused by its size and its beginning, before it is uploaded."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from edgefleet_contract.uploads import MAX_FILE_BYTES, MAX_ONNX_BYTES, FileKind, UploadOffer, offer, refusal

ONNX = b"\x08\x08\x12\x07pytorch\x3a\xf0\x07" + bytes(1008)
"""An IR version, a producer, and a graph of 1,008 bytes."""
SAFETENSORS = struct.pack("<Q", 20) + b'{"w":{}}            ' + bytes(8)


def npz() -> bytes:
    made = io.BytesIO()
    np.savez(made, x=np.zeros(3))
    return made.getvalue()


def torch_archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", b"what runs code")
    return made.getvalue()


@pytest.mark.parametrize(
    ("kind", "content"), [("onnx", ONNX), ("data", npz()), ("weights", SAFETENSORS), ("card", b'name = "fashion"\n')]
)
def test_what_may_be_as_it_should_is_not_refused(kind: FileKind, content: bytes) -> None:
    assert refusal(offer(kind, len(content), content)) is None


def test_a_graph_that_goes_on_beyond_the_beginning_must_end_in_the_file() -> None:
    begins = b"\x08\x08\x3a\x80\x80\x80\x80\x02" + bytes(5000)  # a graph of 512 MB
    assert refusal(offer("onnx", 2**29 + 8, begins)) is None
    assert "not an ONNX file" in (refusal(offer("onnx", 2**29 + 7, begins)) or "")


@pytest.mark.parametrize(
    ("kind", "content", "why"),
    [
        ("onnx", b"", "this is not an ONNX file"),
        ("onnx", b"<!doctype html><html>not found</html>", "this is not an ONNX file"),
        ("onnx", b"\x89HDF\r\n\x1a\n" + bytes(2000), "this is not an ONNX file"),
        ("onnx", npz(), "this is not an ONNX file"),
        ("onnx", b"\x08\x08\x12\x07pytorch", "this is not an ONNX file"),
        ("onnx", pickle.dumps({"w": [1]}), "the file is a pickle and is refused"),
        ("weights", torch_archive(), "the file is a PyTorch archive and is refused"),
        ("weights", b"\x00" * 7, "this is not a safetensors file"),
        ("weights", struct.pack("<Q", 2**40) + b"{", "this is not a safetensors file"),
        ("data", b"x,y\n1,2\n", "this is not an npz file"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_what_to_do(kind: FileKind, content: bytes, why: str) -> None:
    told = refusal(offer(kind, len(content), content)) or ""
    assert told.startswith(why) and (": " in told or "Save" in told)


def test_a_file_that_is_too_large_is_told_the_limit_and_what_to_do() -> None:
    told = refusal(offer("onnx", MAX_ONNX_BYTES + 1, ONNX)) or ""
    assert "2,147,483,648 bytes" in told and "2,147,483,647" in told and "fp16" in told
    assert refusal(offer("onnx", MAX_ONNX_BYTES, b"")) is not None
    assert "at most 2,147,483,647 are taken" in (refusal(offer("data", MAX_FILE_BYTES + 1, npz())) or "")


def test_a_beginning_that_cannot_be_read_is_refused() -> None:
    assert "is not base64" in (refusal(UploadOffer(kind="card", size_bytes=5, begins="***")) or "")
