"""The HTTP endpoint's connections: requests in, answers out, within limits; `routes.py` knows what to answer."""

import logging
import re
import socket
from collections.abc import Collection
from contextlib import suppress
from http import HTTPStatus
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from edgefleet_agent import codings, request_head, routes
from edgefleet_agent.connections import Budget, Connections
from edgefleet_agent.errors import RequestError
from edgefleet_agent.request_head import Head, HeadError
from edgefleet_agent.routes import MAX_BODY_BYTES, RAW_AFTER, json_body
from edgefleet_agent.serving import Body, Serving
from edgefleet_process.foreign_pages import foreign

log = logging.getLogger("edgefleet.agent.http")

LARGE_BODY_BYTES = 1024 * 1024
LARGE_BODIES_BYTES = 2 * MAX_BODY_BYTES
MAX_CONNECTIONS = 64
IDLE_S = 120.0
"""How long a connection may take for a whole request."""
MAX_ERROR = 500
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

_NUMBER = re.compile(r"[0-9]{1,12}")


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
            self._send(error.status, json_body({"error": f"malformed request: {error}"}))
            return
        if head is None:
            return
        if head.method not in ("GET", "POST"):
            body = json_body({"error": "only GET and POST are supported"})
            self._send(405, body, "Allow: GET, POST", bodiless=head.method == "HEAD")
            return
        if why := foreign(head.fields.get("host"), head.fields.get("origin"), self.server.names):
            self._send(403, json_body({"error": f"{why}: ask it by its address, or give the agent --http-name NAME"}))
            return
        status, answer = self._answer(head)
        # Clients read errors as they come, whatever they asked for.
        coding = codings.chosen(head.fields.get("accept-encoding", "")) if status == 200 else None
        self._send(status, answer, coding=coding)

    def _answer(self, head: Head) -> tuple[int, Body]:
        try:
            return 200, self._get(head) if head.method == "GET" else self._post(head)
        except RequestError as error:
            return error.status, json_body({"error": str(error)[:MAX_ERROR]})
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # our bug must not look like a dropped connection
            log.exception("a request for %r failed", head.path[:200])
            return 500, json_body({"error": f"a bug in the agent: {type(error).__name__}"})

    def _get(self, head: Head) -> Body:
        self._closes = head.closes or head.has_body
        self.server.connections.is_answered(self.connection)
        routes.refuse_query(head.query)
        return routes.get(head.path, self.server.serving)

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
            routes.refuse_query(head.query)
            return self._answer_to(head, body)

    def _answer_to(self, head: Head, body: bytes) -> Body:
        coding = head.fields.get("content-encoding", "")
        try:
            plain = codings.decoded(body, coding, max(len(body), LARGE_BODY_BYTES))
        except RequestError as error:
            if error.status != 413:
                raise
            # How large it is shows only as it grows: it counts as the largest.
            with self.server.budget.lent(MAX_BODY_BYTES):
                plain = codings.decoded(body, coding, MAX_BODY_BYTES)
                return routes.post(head.path, head.fields, plain, self.server.serving)
        return routes.post(head.path, head.fields, plain, self.server.serving)

    def _send(self, status: int, body: Body, *fields: str, bodiless: bool = False, coding: str | None = None) -> None:
        data = codings.encoded(body.data, coding) if coding else body.data
        if coding and len(data) < len(body.data):
            fields = (*fields, f"Content-Encoding: {coding}")
        else:
            data = body.data
        self.server.connections.waits(self.connection)
        head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Length: {len(data)}", *fields]
        if body.header_length is None:
            head.append("Content-Type: application/json")
        else:
            head += ["Content-Type: application/octet-stream", f"{RAW_AFTER}: {body.header_length}"]
        if self._closes:
            head.append("Connection: close")
        self.wfile.write("\r\n".join([*head, "\r\n"]).encode() + (b"" if bodiless else data))


class Server(ThreadingTCPServer):
    """The listening socket, and a thread for each connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], serving: Serving, names: Collection[str]) -> None:
        self.names = frozenset(name.lower() for name in (socket.gethostname(), *names))
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
    length = head.fields.get("content-length", "0")  # without one there is no body (RFC 9112, section 6.3)
    if "transfer-encoding" in head.fields or not length.isdecimal():
        raise RequestError(411, "send a Content-Length, and no Transfer-Encoding")
    if not _NUMBER.fullmatch(length) or int(length) > MAX_BODY_BYTES:
        raise RequestError(413, f"the body has {length[:30]} bytes, more than the {MAX_BODY_BYTES} allowed")
    return int(length)
