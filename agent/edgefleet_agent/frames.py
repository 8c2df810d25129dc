"""Frames between supervisor and worker: two lengths, a JSON header, raw bytes. Standard library only."""

import json
import socket
import struct
import time
from typing import Any

MAX_HEADER_BYTES = 32 * 1024 * 1024
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
_LENGTHS = struct.Struct(">II")


class FrameError(Exception):
    """The other end has gone, or speaks something else."""


def send(pipe: socket.socket, header: dict[str, Any], payload: bytes, timeout_s: float) -> None:
    """Send one frame.

    Raises:
        TimeoutError: the other end did not read it within `timeout_s`.
        FrameError: the other end has gone.
    """
    text = json.dumps(header).encode()
    pipe.settimeout(max(timeout_s, 0.001))
    try:
        pipe.sendall(_LENGTHS.pack(len(text), len(payload)) + text + payload)
    except TimeoutError:
        raise
    except OSError as error:
        raise FrameError(str(error)) from None


def receive(pipe: socket.socket, timeout_s: float | None, rest_s: float = 10.0) -> tuple[dict[str, Any], bytes]:
    """Receive one frame.

    Args:
        pipe: the end to read.
        timeout_s: how long to wait for its first byte, in seconds; None waits for ever.
        rest_s: how long the rest may take once it has begun, in seconds.

    Raises:
        TimeoutError: nothing came in time.
        FrameError: the other end has gone, or what came is no frame.
    """
    start = _read(pipe, 1, None if timeout_s is None else time.monotonic() + timeout_s)
    deadline = time.monotonic() + rest_s
    header_bytes, payload_bytes = _LENGTHS.unpack(start + _read(pipe, _LENGTHS.size - 1, deadline))
    if header_bytes > MAX_HEADER_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise FrameError(f"a frame of {header_bytes} + {payload_bytes} bytes is too large")
    text, payload = _read(pipe, header_bytes, deadline), _read(pipe, payload_bytes, deadline)
    try:
        header = json.loads(text)
    except ValueError:
        raise FrameError("a frame whose header is no JSON") from None
    if not isinstance(header, dict):
        raise FrameError("a frame whose header is no object")
    return header, payload


def _read(pipe: socket.socket, count: int, deadline: float | None) -> bytes:
    data = bytearray()
    while len(data) < count:
        pipe.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
        try:
            part = pipe.recv(count - len(data))
        except TimeoutError:
            raise
        except OSError as error:
            raise FrameError(str(error)) from None
        if not part:
            raise FrameError("the other end has closed")
        data += part
    return bytes(data)
