"""The HTTP endpoint: Open Inference Protocol v2 for applications, feedback, and the device's status."""

import logging
import re
import socket
from contextlib import suppress
from http import HTTPStatus
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from pydantic_core import from_json, to_json

from edgefleet_agent import request_head
from edgefleet_agent.connections import Budget, Connections
from edgefleet_agent.errors import RequestError
from edgefleet_agent.request_head import Head, HeadError
from edgefleet_agent.serving import Body, Serving
from edgefleet_agent.version import agent_version

log = logging.getLogger("edgefleet.agent.http")

MAX_BODY_BYTES = 16 * 1024 * 1024
LARGE_BODY_BYTES = 1024 * 1024
LARGE_BODIES_BYTES = 2 * MAX_BODY_BYTES
MAX_CONNECTIONS = 64
IDLE_S = 120.0
"""How long a connection may take for a whole request."""
MAX_ERROR = 500
RAW_AFTER = "Inference-Header-Content-Length"
"""How many bytes of a body are JSON, when raw tensors follow."""
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

_NUMBER = re.compile(r"[0-9]{1,12}")
_MODEL = re.compile(r"^/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer))?$")


class _Connection(StreamRequestHandler):
    """One connection. Headers and body go out in one write: the second of two waits 44 ms for an acknowledgement.

    Replies carry no Date: a device's clock may be wrong (RFC 9110, section 6.6.1).
    """

    timeout = IDLE_S
    disable_nagle_algorithm = True
    server: "Server"

    def handle(self) -> None:
        """Answer one request after the other, until either side closes."""
        self._closes = False
        with suppress(ConnectionError, TimeoutError):
            while not self._closes:
                self.server.connections.waits(self.connection)
                self._closes = True  # stays so for a request that is refused before it was read
                self._handle_next()

    def _handle_next(self) -> None:
        try:
            head = request_head.read(self.rfile)
        except HeadError as error:
            self._send(error.status, _json({"error": f"malformed request: {error}"}))
            return
        if head is None:
            return
        if head.method not in ("GET", "POST"):
            body = _json({"error": "only GET and POST are supported"})
            self._send(405, body, "Allow: GET, POST", bodiless=head.method == "HEAD")
            return
        self._send(*self._answer(head))

    def _answer(self, head: Head) -> tuple[int, Body]:
        try:
            return 200, self._get(head) if head.method == "GET" else self._post(head)
        except RequestError as error:
            return error.status, _json({"error": str(error)[:MAX_ERROR]})
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # our bug must not look like a dropped connection
            log.exception("a request for %r failed", head.path[:200])
            return 500, _json({"error": f"a bug in the agent: {type(error).__name__}"})

    def _get(self, head: Head) -> Body:
        self._closes = head.closes or head.has_body
        self.server.connections.is_answered(self.connection)
        path, serving = head.path, self.server.serving
        if path == "/v2":
            extensions = ["binary_tensor_data"]
            return _json({"name": "edgefleet-agent", "version": agent_version(), "extensions": extensions})
        if path == "/v2/health/live":
            return _json({"live": True})
        if path == "/v2/health/ready":
            serving.check_ready()
            return _json({"ready": True})
        if path == "/edgefleet/v1/status":
            return Body(serving.status())
        if (match := _MODEL.match(path)) and match[3] != "infer":
            if match[3] == "ready":
                serving.check_ready(match[1], match[2])
                return _json({"name": match[1], "ready": True})
            return _json(serving.metadata(match[1], match[2]))
        raise RequestError(404, f"nothing to GET at {path[:200]}")

    def _post(self, head: Head) -> Body:
        size_bytes = _size_bytes(head)
        with self.server.budget.lent(size_bytes):
            if head.waits:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self.rfile.read(size_bytes)
            if len(body) < size_bytes:
                raise ConnectionError("the client left before its request was whole")
            self._closes = head.closes
            self.server.connections.is_answered(self.connection)
            return self._answer_to(head, body)

    def _answer_to(self, head: Head, body: bytes) -> Body:
        path, serving = head.path, self.server.serving
        if head.fields.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(415, "compressed requests are not supported: send the body uncompressed")
        if path == "/edgefleet/v1/feedback":
            return _json(serving.feedback(_parsed(body)))
        if (match := _MODEL.match(path)) and match[3] == "infer":
            length = head.fields.get(RAW_AFTER.lower())
            if length is not None and not _NUMBER.fullmatch(length):
                raise RequestError(400, f"{RAW_AFTER} must be a number")
            return serving.infer(match[1], match[2], body, None if length is None else int(length))
        raise RequestError(404, f"nothing to POST to at {path[:200]}")

    def _send(self, status: int, body: Body, *fields: str, bodiless: bool = False) -> None:
        self.server.connections.waits(self.connection)
        head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Length: {len(body.data)}", *fields]
        if body.header_length is None:
            head.append("Content-Type: application/json")
        else:
            head += ["Content-Type: application/octet-stream", f"{RAW_AFTER}: {body.header_length}"]
        if self._closes:
            head.append("Connection: close")
        self.wfile.write("\r\n".join([*head, "\r\n"]).encode() + (b"" if bodiless else body.data))


class Server(ThreadingTCPServer):
    """The listening socket, and a thread for each connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], serving: Serving) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.serving = serving
        self.connections = Connections(MAX_CONNECTIONS, IDLE_S)
        self.budget = Budget(LARGE_BODIES_BYTES, LARGE_BODY_BYTES)
        super().__init__(address, _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a new connection on a thread of its own, unless there are too many."""
        if self.connections.admit(request):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.setblocking(False)
            request.send(BUSY)
        self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self.connections.leaves(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Close connections that wait for too long; called ten times a second."""
        self.connections.tick()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that went away."""


def _size_bytes(head: Head) -> int:
    length = head.fields.get("content-length", "")
    if "transfer-encoding" in head.fields or not length.isdecimal():
        raise RequestError(411, "send a Content-Length, and no Transfer-Encoding")
    if not _NUMBER.fullmatch(length) or int(length) > MAX_BODY_BYTES:
        raise RequestError(413, f"the body has {length[:30]} bytes, more than the {MAX_BODY_BYTES} allowed")
    return int(length)


def _json(value: Any) -> Body:
    return Body(to_json(value))


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        raise RequestError(400, "the body is not JSON") from None
