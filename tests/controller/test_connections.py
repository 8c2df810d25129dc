"""Connections that send nothing, or never finish a request's head, keep nobody out for long."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from tests.service import api_of

from edgefleet_controller.api.connections import BoundedConnection


class Impatient(BoundedConnection):
    """As the controller's, with limits that a test can reach."""

    head_s = 0.5
    most = 8


@pytest.fixture
def url() -> Iterator[str]:
    app = FastAPI()
    app.get("/")(lambda: "here")

    @app.post("/")
    async def take(request: Request) -> int:
        return len(await request.body())

    with api_of(app, Impatient) as address:
        yield address


def opened(url: str, sent: bytes) -> socket.socket:
    connection = socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0), timeout=5)
    connection.sendall(sent)
    return connection


def test_a_head_that_does_not_come_is_not_waited_for(url: str) -> None:
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        with opened(url, sent) as slow:
            began = time.monotonic()
            assert slow.recv(100) == b""
            assert 0.3 < time.monotonic() - began < 3


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(url: str) -> None:
    with opened(url, b"GET / HTTP/1.1\r\n") as slow, pytest.raises(OSError):
        for _ in range(50):
            slow.sendall(b"X")
            time.sleep(0.1)


def test_a_second_head_on_a_connection_must_come_too(url: str) -> None:
    with opened(url, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as slow:
        answer = b""
        while b"here" not in answer:
            more = slow.recv(1000)
            assert more
            answer += more
        slow.sendall(b"GET /")
        assert slow.recv(100) == b""


def test_a_body_that_hardly_comes_is_not_waited_for_and_a_slow_one_is(url: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n"
    with opened(url, head) as slow, pytest.raises(OSError):
        for _ in range(50):
            slow.sendall(b"X")
            time.sleep(0.1)
    with opened(url, head) as steady:
        for _ in range(10):
            steady.sendall(b"X" * 1000)
            time.sleep(0.2)
        assert steady.recv(100).startswith(b"HTTP/1.1 200")


def test_others_are_answered_once_the_idle_ones_are_closed(url: str) -> None:
    with ExitStack() as held:
        crowd = [held.enter_context(opened(url, b"GET")) for _ in range(Impatient.most)]
        with opened(url, b"") as late:
            assert late.recv(100).startswith(b"HTTP/1.1 503")
        assert crowd[0].recv(100) == b""
        time.sleep(0.2)
        assert httpx.get(url).json() == "here"
