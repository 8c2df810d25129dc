"""What no schema describes, sent by socket to a real controller: it answers, or closes, and goes on."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from edgefleet_controller.api.limits import MAX_JSON_BYTES
from edgefleet_process.floods import PER_MINUTE

JSON = b"Content-Type: application/json\r\n"
BLOB = b"PUT /api/v1/blobs/" + b"0" * 64
NO_HTTP = b"Invalid HTTP request received."
"""What the server itself says, in plain text, to what is no request at all."""


def get(path: bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + b"\r\n"


def post(body: bytes, headers: bytes = JSON, path: bytes = b"/api/v1/rollouts") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return get(path, headers + length + b"X-Requested-With: test\r\n", b"POST") + body


def put(headers: bytes, body: bytes = b"") -> bytes:
    return BLOB + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + b"\r\n" + body


SPEC = b'{"model":"fashion","version":1,'
REQUESTS: dict[str, tuple[bytes, int]] = {
    "NUL in a path": (get(b"/api/v1/models/%00"), 422),
    "NUL among the headers": (get(b"/api/v1/models", b"X: \x00\r\n"), 400),
    "no ASCII in a path": (get("/api/v1/models/é".encode()), 400),
    "half an escape": (get(b"/api/v1/models/%zz%ff"), 422),
    "out of the folder": (get(b"/api/v1/blobs/../../../../etc/passwd"), 404),
    "out of the folder, escaped": (get(b"/static-offline-docs/..%2f..%2f..%2f..%2fetc%2fpasswd"), 404),
    "NUL in a file's name": (get(b"/static-offline-docs/a%00b"), 404),
    "a blob out of the folder": (get(b"/api/v1/blobs/..%2f..%2fx", b"Content-Length: 1\r\n", b"PUT") + b"x", 404),
    "a long name": (get(b"/api/v1/devices/" + b"a" * 30_000), 404),
    "a long selector": (get(b"/api/v1/devices?selector=" + b"a" * 30_000), 422),
    "headers without end": (get(b"/api/v1/devices", b"X: " + b"a" * 300_000 + b"\r\n"), 400),
    "an odd method": (get(b"/api/v1/models", method=b"BREW"), 405),
    "TRACE": (get(b"/api/v1/models", method=b"TRACE"), 405),
    "an odd method of a file": (get(b"/static-offline-docs/x", b"X-Requested-With: test\r\n", b"POST"), 405),
    "OPTIONS of everything": (get(b"*", method=b"OPTIONS"), 404),
    "CONNECT": (get(b"example.org:80", method=b"CONNECT"), 404),
    "no host": (b"GET /api/v1/models HTTP/1.1\r\n\r\n", 400),
    "half an address as host": (get(b"/api/v1/models", b"Host: [::1\r\n").replace(b"Host: localhost\r\n", b""), 403),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500, 400),
    "half a JSON": (post(b'{"a'), 422),
    "no UTF-8": (post(b'"\xff"'), 400),
    "half a surrogate pair as a key": (post(b'{"\\ud800":1}'), 422),
    "half a surrogate pair as a value": (post(b'{"model":"\\ud800","version":1}'), 422),
    "half a surrogate pair as a profile": (post(b'{"profile":"\\ud800"}', path=b"/api/v1/devices"), 422),
    "nested deeply": (post(b"[" * 200_000), 400),
    "infinity": (post(SPEC + b'"timers":{"wave_s":Infinity}}'), 422),
    "a float beyond floats": (post(SPEC + b'"timers":{"wave_s":1e999}}'), 422),
    "a number of 10,000 digits": (post(b'{"model":"fashion","version":' + b"9" * 10_000 + b"}"), 400),
    "a version beyond SQLite": (post(b'{"model":"fashion","version":99999999999999999999}'), 422),
    "no media type": (post(b"{}", b""), 422),
    "plain text": (post(b"{}", b"Content-Type: text/plain\r\n"), 422),
    "an unknown charset": (post(b"{}", b"Content-Type: application/json; charset=utf-99\r\n"), 422),
    "no media type's name": (post(b"{}", b"Content-Type: /////\r\n"), 422),
    "half a form": (post(b"--x\r\nfoo--", b"Content-Type: multipart/form-data; boundary=x\r\n"), 422),
    "one query parameter often": (get(b"/api/v1/devices?limit=5&limit=0&cursor=a&cursor=-1"), 422),
    "a cursor beyond all": (get(b"/api/v1/telemetry?bucket=hour&cursor=999999999999999999999999"), 200),
    "a negative cursor": (get(b"/api/v1/telemetry?bucket=hour&cursor=-1"), 200),
    "a time beyond all": (get(b"/api/v1/telemetry?since_ms=99999999999999999999999"), 422),
    "10 GB of JSON": (get(b"/api/v1/rollouts", JSON + b"Content-Length: 10737418240\r\n", b"POST"), 413),
    "10 GB of a blob": (put(b"Content-Length: 10737418240\r\n"), 413),
    "10 GB of a blob, if I may": (put(b"Expect: 100-continue\r\nContent-Length: 10737418240\r\n"), 413),
    "a length of 5,000 digits": (put(b"Content-Length: " + b"9" * 5_000 + b"\r\n"), 400),
    "a negative length": (put(b"Content-Length: -5\r\n"), 400),
    "two lengths": (put(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), 400),
    "a length and chunks": (
        put(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        422,
    ),
    "chunks in gzip": (put(b"Transfer-Encoding: gzip, chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk of no size": (put(b"Transfer-Encoding: chunked\r\n", b"zz\r\nhello\r\n0\r\n\r\n"), 400),
}
CUT_SHORT = {
    "a body that ends early": put(b"Content-Length: 50\r\n", b"hello"),
    "JSON that ends early": get(b"/api/v1/rollouts", JSON + b"Content-Length: 50\r\n", b"POST") + b'{"a',
    "a chunk beyond all sizes": put(b"Transfer-Encoding: chunked\r\n", b"F" * 20 + b"\r\nhello"),
    "half a request line": b"GET /api/v1/mod",
    "nothing": b"",
}


class Controller:
    """A controller process and the port of its API."""

    def __init__(self, state: Path) -> None:
        self.log = state.with_suffix(".log")
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "edgefleet_operator", "serve", "--state", str(state)]
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while not (note := state / "controller.json").exists():
            assert self.child.poll() is None and time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        self.port = int(json.loads(note.read_text())["api"].rsplit(":", 1)[1])

    def send(self, *parts: bytes, cut: bool = False) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer; zeros and nothing where the connection was closed without one."""
        answer = bytearray()
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                if cut:
                    connection.shutdown(socket.SHUT_WR)
                while block := connection.recv(1 << 16):
                    answer += block
            except ConnectionError:
                pass  # it need not listen to all of what it refuses
        head, _, body = bytes(answer).partition(b"\r\n\r\n")
        return (int(head.split()[1]) if head else 0), head.lower(), body

    def rss_bytes(self) -> int:
        return int(psutil.Process(self.child.pid).memory_info().rss)


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    running = Controller(tmp_path_factory.mktemp("raw") / "state")
    yield running
    running.child.terminate()
    assert running.child.wait(20) == 0
    assert "Traceback" not in running.log.read_text()


@pytest.mark.parametrize("name", REQUESTS)
def test_an_odd_request_is_answered_with_a_problem(controller: Controller, name: str) -> None:
    request, expected = REQUESTS[name]
    status, head, body = controller.send(request)
    assert status == expected, body
    if status >= 400 and NO_HTTP not in body:
        assert b"content-type: application/problem+json" in head
        assert json.loads(body)["status"] == status
    if status == 405 and b"/api/" in request:
        assert b"allow: get, post" in head


@pytest.mark.parametrize("name", CUT_SHORT)
def test_a_request_that_ends_early_does_no_harm(controller: Controller, name: str) -> None:
    assert controller.send(CUT_SHORT[name], cut=True)[0] in (0, 400)
    assert controller.send(get(b"/api/v1/health"))[0] == 200


def chunked(*blocks: bytes) -> list[bytes]:
    return [b"%x\r\n" % len(block) + block + b"\r\n" for block in blocks]


def test_a_body_that_turns_out_to_be_too_large_is_not_read_to_its_end(controller: Controller) -> None:
    head = get(b"/api/v1/rollouts", JSON + b"Transfer-Encoding: chunked\r\n", b"POST")
    sent = chunked(*[b" " * 65_536] * (MAX_JSON_BYTES // 65_536 + 1))
    status, head, body = controller.send(head, *sent)
    assert (status, b"connection: close" in head) == (413, True)
    assert str(MAX_JSON_BYTES).encode() in body


def test_an_upload_goes_to_the_disk_and_not_through_the_memory(controller: Controller) -> None:
    blocks = [bytes(1 << 20)] * 96
    before = controller.rss_bytes()
    name = sha256(b"".join(blocks)).hexdigest()
    wrong = get(f"/api/v1/blobs/{'0' * 64}".encode(), b"Transfer-Encoding: chunked\r\n", b"PUT")
    status, _, body = controller.send(wrong, *chunked(*blocks), b"0\r\n\r\n")
    assert (status, name.encode() in body) == (422, True)
    assert controller.rss_bytes() - before < 48 << 20
    leftover = [path for path in (controller.log.with_suffix("") / "blobs").iterdir() if path.is_file()]
    assert leftover == []


def test_rubbish_without_end_does_not_fill_the_log(controller: Controller) -> None:
    for _ in range(5 * PER_MINUTE):
        assert controller.send(b"\x00\r\n\r\n")[0] == 400
    assert controller.log.read_text().count("Invalid HTTP request") <= 3 * PER_MINUTE
    assert controller.log.stat().st_size < 20_000
