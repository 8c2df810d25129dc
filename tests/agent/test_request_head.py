"""The head of a request is read whole, or refused with the status that says what is wrong with it."""

from io import BytesIO

import pytest

from edgefleet_agent.request_head import Head, HeadError, read


def test_names_are_read_in_any_case_and_values_of_one_name_are_joined() -> None:
    stream = BytesIO(b"POST /v2/x?y=1 HTTP/1.1\r\nHost: a\r\nACCEPT: b\r\naccept:c \r\n\r\n{}")
    assert read(stream) == Head("POST", "/v2/x", "y=1", False, {"host": "a", "accept": "b, c"})
    assert stream.read() == b"{}", "the body is left"


@pytest.mark.parametrize(
    ("version", "connection", "closes"),
    [("1.1", "", False), ("1.1", "close", True), ("1.0", "", True), ("1.0", "Keep-Alive", False)],
)
def test_the_connection_stays_open_as_the_version_and_the_client_want_it(
    version: str, connection: str, closes: bool
) -> None:
    head = read(BytesIO(f"GET / HTTP/{version}\r\nConnection: {connection}\r\n\r\n".encode()))
    assert head is not None and head.closes is closes


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHo: a\r\n"]
)
def test_a_client_that_leaves_has_asked_nothing(sent: bytes) -> None:
    assert read(BytesIO(sent)) is None


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/x\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET /" + b"a" * 70_000, 414),
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
    ],
)
def test_what_cannot_be_read_is_refused(sent: bytes, status: int) -> None:
    with pytest.raises(HeadError) as caught:
        read(BytesIO(sent))
    assert caught.value.status == status
