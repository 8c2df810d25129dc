"""What travels between supervisor and worker: whole frames, however they come, and nothing else."""

import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from edgefleet_agent import pipe_frames

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("size_bytes", [0, 1, 3136, 300_000])
def test_a_frame_arrives_as_it_was_sent(pair: Pair, size_bytes: int) -> None:
    data = (bytes(range(256)) * (size_bytes // 256 + 1))[:size_bytes]
    sending = threading.Thread(target=pipe_frames.send, args=(pair[0], {"op": "infer"}, data, 5))
    sending.start()
    assert pipe_frames.FrameReader(pair[1]).receive(5) == ({"op": "infer"}, data)
    sending.join()


@pytest.mark.parametrize("said", ["\ud800", object()], ids=["half a character", "no value of JSON"])
def test_a_header_that_json_cannot_say_is_not_sent(pair: Pair, said: object) -> None:
    with pytest.raises(pipe_frames.FrameError, match="cannot be written as JSON"):
        pipe_frames.send(pair[0], {"error": said}, b"abc", 5)
    pipe_frames.send(pair[0], {"op": "infer"}, b"", 5)
    assert pipe_frames.FrameReader(pair[1]).receive(5) == ({"op": "infer"}, b""), (
        "nothing of the first one lies in the way"
    )


def test_a_frame_may_come_byte_by_byte(pair: Pair) -> None:
    text = b'{"op": "infer"}'
    whole = struct.pack(">II", len(text), 3) + text + b"abc"

    def dribble() -> None:
        for at in range(len(whole)):
            pair[0].sendall(whole[at : at + 1])
            time.sleep(0.001)

    sending = threading.Thread(target=dribble)
    sending.start()
    assert pipe_frames.FrameReader(pair[1]).receive(5) == ({"op": "infer"}, b"abc")
    sending.join()


def test_frames_that_come_together_are_received_one_after_the_other(pair: Pair) -> None:
    for number in range(3):
        pipe_frames.send(pair[0], {"number": number}, b"x" * number, 5)
    reader = pipe_frames.FrameReader(pair[1])
    assert [reader.receive(5) for _ in range(3)] == [({"number": number}, b"x" * number) for number in range(3)]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">II", 2**31, 0),
        struct.pack(">II", 2, 2**31) + b"{}",
        struct.pack(">II", 2, 0) + b"{]",
        struct.pack(">II", 2, 0) + b"[]",
    ],
    ids=["more header than is allowed", "more data than is allowed", "no JSON", "no object"],
)
def test_what_is_no_frame_is_refused(pair: Pair, data: bytes) -> None:
    pair[0].sendall(data)
    with pytest.raises(pipe_frames.FrameError):
        pipe_frames.FrameReader(pair[1]).receive(5)


@pytest.mark.parametrize("data", [b"", b"\0\0", struct.pack(">II", 2, 5) + b"{}ab"])
def test_an_end_that_closes_is_told_from_one_that_is_slow(pair: Pair, data: bytes) -> None:
    pair[0].sendall(data)
    with pytest.raises(TimeoutError):
        pipe_frames.FrameReader(pair[1]).receive(0.05, rest_s=0.05)
    pair[0].sendall(data or b"\0")
    pair[0].close()
    with pytest.raises(pipe_frames.FrameError):
        pipe_frames.FrameReader(pair[1]).receive(5)
