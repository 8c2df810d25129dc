"""Frames between supervisor and worker: two lengths, a JSON header, raw bytes."""

import socket
import struct
import time
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

MAX_HEADER_BYTES = 32 * 1024 * 1024
MAX_DATA_BYTES = 64 * 1024 * 1024
_LENGTHS = struct.Struct(">II")
_READ_BYTES = 64 * 1024
_SAME_S = 0.05
"""Timeouts that differ by less count as equal: setting one is a system call."""
_KNOWN_HEADER_BYTES = 512
"""Headers of single samples; those of batches are rarely the same."""


class FrameError(Exception):
    """The other end has closed, or sent something other than a frame."""


def send(pipe: socket.socket, header: dict[str, Any], data: bytes, timeout_s: float | None) -> None:
    """Send one frame; None waits forever.

    Raises:
        TimeoutError: the other end did not read it within `timeout_s`.
        FrameError: the other end has closed, or the header cannot be written as JSON.
    """
    try:
        text = to_json(header)
    except ValueError as error:
        raise FrameError(f"the header cannot be written as JSON: {error}") from None
    _allow(pipe, timeout_s)
    try:
        pipe.sendall(_LENGTHS.pack(len(text), len(data)) + text + data)
    except TimeoutError:
        raise
    except OSError as error:
        raise FrameError(str(error)) from None


class FrameReader:
    """Receives the frames that come to one end of a pipe; what comes behind a frame is kept for the next.

    Args:
        pipe: the end to read.
    """

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._kept = b""

    def receive(self, timeout_s: float | None, rest_s: float = 10.0) -> tuple[dict[str, Any], bytes]:
        """Receive one frame.

        Args:
            timeout_s: how long to wait for its first byte, in seconds; None waits forever.
            rest_s: how long the rest may take once it has begun, in seconds.

        Raises:
            TimeoutError: nothing came in time.
            FrameError: the other end has closed, or sent something other than a frame.
        """
        frame, self._kept = self._kept, b""
        if not frame:  # most arrive in one read
            frame = _read(self._pipe, 0, 1, None if timeout_s is None else time.monotonic() + timeout_s)
        deadline = time.monotonic() + rest_s
        if len(frame) < _LENGTHS.size:
            frame += _read(self._pipe, len(frame), _LENGTHS.size, deadline)
        header_bytes, data_bytes = _LENGTHS.unpack_from(frame)
        if header_bytes > MAX_HEADER_BYTES or data_bytes > MAX_DATA_BYTES:
            raise FrameError(f"a frame of {header_bytes} + {data_bytes} bytes is too large")
        begin, end = _LENGTHS.size + header_bytes, _LENGTHS.size + header_bytes + data_bytes
        if len(frame) < end:
            frame += _read(self._pipe, len(frame), end, deadline)
        text, self._kept = frame[_LENGTHS.size : begin], frame[end:]
        return _known_header(text) if header_bytes <= _KNOWN_HEADER_BYTES else _header(text), frame[begin:end]


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = from_json(text, cache_strings="keys")
    except ValueError:
        raise FrameError("the header of a frame is not JSON") from None
    if not isinstance(header, dict):
        raise FrameError("the header of a frame is not an object")
    return header


_known_header = lru_cache(maxsize=64)(_header)
"""Requests repeat their headers. The result is shared: never change it."""


def _allow(pipe: socket.socket, timeout_s: float | None) -> None:
    """Set the pipe's timeout, unless it is about the same already."""
    wanted = None if timeout_s is None else max(timeout_s, 0.001)
    now = pipe.gettimeout()
    if now != wanted and (now is None or wanted is None or abs(now - wanted) > min(_SAME_S, wanted / 2)):
        pipe.settimeout(wanted)


def _read(pipe: socket.socket, have: int, need: int, deadline: float | None) -> bytes:
    """Read until there are at least `need` bytes, of which `have` are there."""
    parts = []
    while have < need:
        _allow(pipe, None if deadline is None else deadline - time.monotonic())
        try:
            part = pipe.recv(max(need - have, _READ_BYTES))
        except TimeoutError:
            raise
        except OSError as error:
            raise FrameError(str(error)) from None
        if not part:
            raise FrameError("the other end has closed")
        parts.append(part)
        have += len(part)
    return b"".join(parts)
