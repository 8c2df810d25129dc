"""Whatever comes to the HTTP endpoint, it answers in JSON or hangs up, and the next client is served."""

import contextlib
import gzip
import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from tests.agent.endpoint import INFER, Device, body, post

from edgefleet_agent.connections import Budget, Connections
from edgefleet_agent.errors import RequestError
from edgefleet_agent.http import LARGE_BODIES_BYTES, MAX_BODY_BYTES, MAX_CONNECTIONS

MUTATIONS = 1_500


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory, make_variant: Callable[..., Any]) -> Iterator[Device]:
    one = Device(tmp_path_factory.mktemp("device"), make_variant())
    yield one
    one.endpoint.close()
    one.pets.stop()


def connect(device: Device) -> socket.socket:
    host, _, port = device.address.partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def send(device: Device, data: bytes) -> tuple[int, bytes, Any]:
    """Status, head and JSON of the answer to bytes after which nothing more comes; 0 where there is none."""
    answer = bytearray()
    with connect(device) as connection:
        try:
            connection.sendall(data)
            with contextlib.suppress(OSError):  # it has answered and hung up already
                connection.shutdown(socket.SHUT_WR)
            while block := connection.recv(1 << 16):
                answer += block
        except ConnectionError:
            pass  # it need not listen to all of what it refuses
    head, _, text = bytes(answer).partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    return int(found[1]) if found else 0, head.lower(), json.loads(text) if text and found else None


def request(method: bytes, path: bytes, headers: bytes = b"", data: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(data) if data else b""
    return method + b" " + path + b" HTTP/1.1\r\nConnection: close\r\n" + headers + length + b"\r\n" + data


def answers(device: Device) -> None:
    assert post(device.url, INFER, body())[0] == 200


POST = INFER.encode()
ODD: dict[str, tuple[bytes, int]] = {
    "another method": (request(b"PUT", POST, data=b"{}"), 405),
    "TRACE": (request(b"TRACE", b"/v2"), 405),
    "no method of anybody": (request(b"BREW", b"/v2"), 405),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "another HTTP": (b"GET /v2 HTTP/3.7\r\n\r\n", 505),
    "half a version": (b"GET /v2 HTTP/x\r\n\r\n", 400),
    "a long path": (request(b"GET", b"/v2/models/" + b"a" * 100_000), 414),
    "NUL in a path": (request(b"GET", b"/v2/models/%00"), 404),
    "no ASCII in a path": (request(b"GET", "/v2/models/ñ".encode()), 404),
    "out of the folder": (request(b"GET", b"/../../etc/passwd"), 404),
    "a long header": (request(b"GET", b"/v2", b"X: " + b"a" * 100_000 + b"\r\n"), 431),
    "many headers": (request(b"GET", b"/v2", b"X: y\r\n" * 200), 431),
    "a header without a name": (request(b"GET", b"/v2", b": y\r\n"), 400),
    "no length": (request(b"POST", POST), 400),
    "a length in words": (request(b"POST", POST, b"Content-Length: all\r\n"), 411),
    "a negative length": (request(b"POST", POST, b"Content-Length: -5\r\n"), 411),
    "a length in other digits": (request(b"POST", POST, "Content-Length: ²\r\n".encode("latin-1")), 411),
    "10 GB": (request(b"POST", POST, b"Content-Length: 10737418240\r\n"), 413),
    "a length of 5,000 digits": (request(b"POST", POST, b"Content-Length: " + b"9" * 5_000 + b"\r\n"), 413),
    "chunks": (request(b"POST", POST, b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"), 411),
    "gzip": (request(b"POST", POST, b"Content-Encoding: gzip\r\n", gzip.compress(body())), 200),
    "a bomb in gzip": (request(b"POST", POST, b"Content-Encoding: gzip\r\n", gzip.compress(bytes((1 << 24) + 1))), 413),
    "JSON that is none": (request(b"POST", POST, data=b"{"), 400),
    "no UTF-8": (request(b"POST", POST, data=b'{"id": "\xff"}'), 400),
    "nested deeply": (request(b"POST", POST, data=b"[" * 400_000), 400),
    "nested deeply, well closed": (request(b"POST", POST, data=b'{"x":' * 90_000 + b"1" + b"}" * 90_000), 400),
    "lists without end": (request(b"POST", POST, data=b'{"inputs": [' + b"[]," * 5_000_000 + b"[]]}"), 400),
    "an integer of 10,000 digits": (request(b"POST", POST, data=b'{"inputs": ' + b"9" * 10_000 + b"}"), 400),
    "a head longer than the body": (
        request(b"POST", POST, b"Inference-Header-Content-Length: 10000000\r\n", body()),
        400,
    ),
    "a head of 5,000 digits": (
        request(b"POST", POST, b"Inference-Header-Content-Length: " + b"9" * 5_000 + b"\r\n", body()),
        400,
    ),
    "a negative head": (request(b"POST", POST, b"Inference-Header-Content-Length: -1\r\n", body()), 400),
    "feedback that is a list": (request(b"POST", b"/edgefleet/v1/feedback", data=b"[]"), 400),
    "feedback beyond all numbers": (
        request(b"POST", b"/edgefleet/v1/feedback", data=b'{"model":"pets","id":"nobody","label":' + b"9" * 400 + b"}"),
        404,
    ),
    "an id of half a surrogate pair": (request(b"POST", POST, data=body()[:-1] + b', "id": "\\ud800"}'), 400),
    "names without end": (request(b"POST", POST, data=body(name="n" * 1_000_000)), 400),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_request_is_answered_in_json(device: Device, name: str) -> None:
    data, expected = ODD[name]
    status, head, told = send(device, data)
    assert status == expected, told
    assert b"content-type: application/json" in head
    if status >= 400:
        assert list(told) == ["error"] and len(told["error"]) < 600
    if status == 405:
        assert b"allow: get, post" in head
    answers(device)


def test_head_is_refused_without_a_body(device: Device) -> None:
    status, _, told = send(device, request(b"HEAD", b"/v2"))
    assert (status, told) == (405, None)


@pytest.mark.parametrize("data", [b"", b"GET /v2", b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", b"\r\n" * 100])
def test_a_client_that_leaves_early_does_no_harm(device: Device, data: bytes) -> None:
    assert send(device, data)[0] in (0, 400)
    answers(device)


def test_a_body_where_none_belongs_is_not_read_as_the_next_request(device: Device) -> None:
    inner = request(b"GET", b"/v2/health/live")
    data = b"GET /v2 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner
    assert send(device, data)[2]["name"] == "edgefleet-agent"  # one answer: two would be no JSON


def binary(sizes: list[Any], data: bytes, names: list[str] | None = None, **changes: Any) -> tuple[bytes, str]:
    """A request with raw tensors, and the length of its JSON."""
    named = names or ["x"] * len(sizes)
    tensors = [
        {"name": name, "shape": [1, 16], "datatype": "FP32", "parameters": {"binary_data_size": size}} | changes
        for name, size in zip(named, sizes, strict=True)
    ]
    head = json.dumps({"inputs": tensors}).encode()
    return head + data, str(len(head))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (binary([64], bytes(64)), 200),
        (binary([64], bytes(63)), 400),
        (binary([64], bytes(65)), 400),
        (binary([-1], bytes(64)), 400),
        (binary([2**70], bytes(64)), 400),
        (binary([64.0], bytes(64)), 400),
        (binary(["64"], bytes(64)), 400),
        (binary([None], bytes(64)), 400),
        (binary([64, 64], bytes(64)), 400),
        (binary([64, 0], bytes(64)), 400),
        (binary([64], bytes(64), shape=[2, 16]), 400),
        (binary([64], bytes(64), shape=[2**62, 2**62]), 400),
        (binary([64], bytes(64), datatype="FP64"), 400),
        (binary([64], struct.pack("<f", float("nan")) * 16), 400),
        (binary([64], struct.pack("<f", float("inf")) * 16), 400),
        (binary([64], struct.pack("<f", 3.4e38) * 16), 500),
    ],
)
def test_raw_tensors_are_as_long_as_they_say_or_refused(device: Device, data: tuple[bytes, str], status: int) -> None:
    raw, length = data
    told = post(device.url, INFER, raw, Inference_Header_Content_Length=length)
    assert told[0] == status, told
    answers(device)


NASTY = (None, True, -1, 0, 1.5, 2**31, 2**63, 10**400, 1e308, float("nan"), "", "x" * 300, "\u0000", [], {}, [[]])


def mutated(value: Any, draw: random.Random) -> Any:
    """A value with one of its parts, however deep, replaced or removed."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or draw.random() < 0.2:
        return draw.choice(NASTY)
    key = draw.choice(keys)
    if draw.random() < 0.75:
        value[key] = mutated(value[key], draw)
    else:
        del value[key]
    return value


def test_small_changes_to_a_request_are_answered_or_refused_and_never_a_fault_of_the_agent(device: Device) -> None:
    draw = random.Random(5)
    whole = json.loads(body()) | {"parameters": {"binary_data_output": True}, "outputs": [{"name": "logits"}]}
    seen = set()
    for _ in range(MUTATIONS):
        data = json.dumps(mutated(json.loads(json.dumps(whole)), draw)).encode()
        if draw.random() < 0.3:
            at = draw.randrange(len(data))
            data = data[:at] + draw.choice((b"", b"\x00", b"\xff", b'"', b"]", b"9" * 400)) + data[at + 1 :]
        status, _, told = (
            send(device, request(b"POST", POST, b"", data or b" "))
            if b"binary" not in data
            else (
                *_status_only(device, data),
                None,
            )
        )
        seen.add(status)
        assert status in (200, 400), (data, told)
    assert seen == {200, 400}
    answers(device)


def _status_only(device: Device, data: bytes) -> tuple[int, bytes]:
    with connect(device) as connection:
        connection.sendall(request(b"POST", POST, b"", data))
        head = connection.recv(1 << 16)
    return int(head.split()[1]), head


def test_slow_clients_make_room_for_others(device: Device) -> None:
    dribblers = [connect(device) for _ in range(MAX_CONNECTIONS + 20)]
    begun = request(b"POST", POST, b"Content-Length: 1000\r\n") + b"{"
    for number, connection in enumerate(dribblers):
        connection.sendall(begun if number % 2 else b"G")
    time.sleep(0.3)
    threads = threading.active_count()
    assert threads < MAX_CONNECTIONS + 60
    began_s = time.monotonic()
    answers(device)
    assert time.monotonic() - began_s < 10
    hung_up = 0
    for connection in dribblers:
        connection.settimeout(0.05)
        try:
            hung_up += connection.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionError:
            hung_up += 1
        connection.close()
    assert hung_up >= 20


class Line:
    """Stands in for a socket: it knows whether it was hung up on."""

    hung_up = False

    def shutdown(self, _: int) -> None:
        self.hung_up = True


def test_who_waits_for_too_long_is_hung_up_on_however_busily_it_sends() -> None:
    now_s = 0.0
    connections = Connections(2, 10.0, lambda: now_s)
    slow, asked = Line(), Line()
    for line in (slow, asked):
        assert connections.admit(line)  # type: ignore[arg-type]
    connections.is_answered(asked)  # type: ignore[arg-type]
    now_s = 10.1
    connections.tick()
    assert (slow.hung_up, asked.hung_up) == (True, False)


def test_who_has_waited_longest_makes_room_and_who_is_answered_never_does() -> None:
    connections = Connections(2, 10.0, iter(range(100)).__next__)
    first, second, third, fourth = Line(), Line(), Line(), Line()
    for line in (first, second, third):
        assert connections.admit(line)  # type: ignore[arg-type]
    assert [line.hung_up for line in (first, second, third)] == [True, False, False]
    for line in (second, third):
        connections.is_answered(line)  # type: ignore[arg-type]
    assert not connections.admit(fourth)  # type: ignore[arg-type]
    connections.leaves(second)  # type: ignore[arg-type]
    assert connections.admit(fourth)  # type: ignore[arg-type]


def test_large_requests_share_what_memory_there_is_and_small_ones_need_none_of_it() -> None:
    budget = Budget(20, 10)
    with budget.lent(15), budget.lent(9):
        with pytest.raises(RequestError, match="try again"), budget.lent(10):
            raise AssertionError("there was no room")
        with budget.lent(5):
            pass
    with budget.lent(20):
        pass


def test_the_largest_requests_at_once_leave_the_agent_small(device: Device) -> None:
    """Two at a time are read; a third one is told to try again."""
    assert LARGE_BODIES_BYTES // MAX_BODY_BYTES == 2
    data = b'{"id": "' + b"x" * (MAX_BODY_BYTES - 20) + b'"}'
    head = request(b"POST", POST, b"Content-Length: %d\r\n" % len(data))
    before = psutil.Process().memory_info().rss
    held = [connect(device), connect(device)]
    for connection in held:
        connection.sendall(head + data[:-1])
    time.sleep(0.5)
    assert send(device, head)[0] == 503
    answers(device)
    for connection in held:
        connection.sendall(data[-1:])
        assert b" 400 " in connection.recv(100)
        connection.close()
    assert psutil.Process().memory_info().rss - before < 200 << 20
    assert send(device, head + data)[0] == 400
