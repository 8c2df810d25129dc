"""The HTTP endpoint: Open Inference Protocol v2 for applications, feedback, and the device's status."""

import json
import logging
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgefleet_agent.connections import Budget, Connections
from edgefleet_agent.errors import RequestError, SettingsError
from edgefleet_agent.serving import Body, Serving

log = logging.getLogger("edgefleet.agent.http")

MAX_BODY_BYTES = 16 * 1024 * 1024
LARGE_BODY_BYTES = 1024 * 1024
LARGE_BODIES_BYTES = 2 * MAX_BODY_BYTES
MAX_CONNECTIONS = 64
IDLE_S = 120.0
"""How long a connection may be without a whole request."""
MAX_ERROR = 500
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

_NUMBER = re.compile(r"[0-9]{1,12}")
_MODEL = re.compile(r"^/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer))?$")


def agent_version() -> str:
    """The installed version of this distribution."""
    try:
        return version("edgefleet")
    except PackageNotFoundError:
        return "0"


class _Handler(BaseHTTPRequestHandler):
    """One connection. Headers and body leave in one write: two would wait for each other's acknowledgement, 44 ms."""

    protocol_version = "HTTP/1.1"
    server_version = "edgefleet-agent"
    sys_version = ""
    timeout = IDLE_S
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True
    server: "_Server"

    def handle_one_request(self) -> None:
        """Wait for a request and answer it."""
        self.server.connections.waits(self.connection)
        super().handle_one_request()

    def do_GET(self) -> None:
        """Health, metadata, status."""
        # A body would be read as the next request.
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        self.server.connections.is_answered(self.connection)
        self._answer(lambda: self._get(self.path.split("?")[0]))

    def do_POST(self) -> None:
        """Inference and feedback."""
        self._answer(lambda: self._post(self.path.split("?")[0]))

    def _get(self, path: str) -> Body:
        serving = self.server.serving
        if path == "/v2":
            extensions = ["binary_tensor_data"]
            return _json({"name": "edgefleet-agent", "version": agent_version(), "extensions": extensions})
        if path == "/v2/health/live":
            return _json({"live": True})
        if path == "/v2/health/ready":
            if not serving.ready():
                raise RequestError(503, "not ready: no variant answers yet")
            return _json({"ready": True})
        if path == "/edgefleet/v1/status":
            return Body(serving.status())
        if (match := _MODEL.match(path)) and match[3] != "infer":
            if match[3] == "ready":
                serving.placed(match[1], match[2])
                return _json({"name": match[1], "ready": True})
            return _json(serving.metadata(match[1], match[2]))
        raise RequestError(404, f"there is nothing to get at {path[:200]}")

    def _post(self, path: str) -> Body:
        closes, self.close_connection = self.close_connection, True  # for who is refused with the body unread
        size_bytes = self._size_bytes()
        with self.server.budget.lent(size_bytes):
            body = self.rfile.read(size_bytes)
            if len(body) < size_bytes:
                raise ConnectionError("the client left before its request was whole")
            self.close_connection = closes
            self.server.connections.is_answered(self.connection)
            return self._answer_to(path, body)

    def _answer_to(self, path: str, body: bytes) -> Body:
        serving = self.server.serving
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RequestError(415, "compressed requests are not taken: send the body as it is")
        if path == "/edgefleet/v1/feedback":
            return _json(serving.feedback(_parsed(body)))
        if (match := _MODEL.match(path)) and match[3] == "infer":
            length = self.headers.get("Inference-Header-Content-Length")
            if length is not None and not _NUMBER.fullmatch(length):
                raise RequestError(400, "Inference-Header-Content-Length must be a number")
            return serving.infer(match[1], match[2], body, None if length is None else int(length))
        raise RequestError(404, f"there is nothing to post to at {path[:200]}")

    def _size_bytes(self) -> int:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            raise RequestError(411, "the request needs a Content-Length, and no Transfer-Encoding")
        if not _NUMBER.fullmatch(length) or int(length) > MAX_BODY_BYTES:
            raise RequestError(413, f"the body has {length[:30]} bytes: at most {MAX_BODY_BYTES} are taken")
        return int(length)

    def _answer(self, make: Callable[[], Body]) -> None:
        try:
            status, body = 200, make()
        except RequestError as error:
            status, body = error.status, _json({"error": str(error)[:MAX_ERROR]})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
            return
        except Exception as error:  # a fault of ours must not look like a dropped connection
            log.exception("a request on %r could not be answered", self.path[:200])
            status, body = 500, _json({"error": f"a fault of the agent: {type(error).__name__}"})
        self._send(status, body)

    def _send(self, status: int, body: Body, allow: str | None = None) -> None:
        self.server.connections.waits(self.connection)
        self.send_response(status)
        if allow:
            self.send_header("Allow", allow)
        if body.header_length is None:
            self.send_header("Content-Type", "application/json")
        else:
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Inference-Header-Content-Length", str(body.header_length))
        self.send_header("Content-Length", str(len(body.data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say in JSON, like everything else, what the library refuses by itself."""
        self.close_connection = True
        self.request_version = self.protocol_version  # it may not have come as far as reading one
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._send(405, _json({"error": "only GET and POST are answered"}), allow="GET, POST")
            return
        why = message or HTTPStatus(code).phrase
        self._send(code, _json({"error": f"no request that can be read: {why[:MAX_ERROR]}"}))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of what clients do wrong: they are told."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing for each request: a device's disk is not for that."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], serving: Serving) -> None:
        self.serving = serving
        self.connections = Connections(MAX_CONNECTIONS, IDLE_S)
        self.budget = Budget(LARGE_BODIES_BYTES, LARGE_BODY_BYTES)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking the name server who we are, which may take seconds on a device."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a new connection on a thread of its own, if there may be one more."""
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
        """Look after the connections; called ten times a second."""
        self.connections.tick()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


class Endpoint:
    """The listening endpoint, on threads of its own.

    Raises:
        SettingsError: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int, serving: Serving) -> None:
        try:
            self._server = _Server((host, port), serving)
        except OSError as error:
            raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --http") from None
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._server.server_close()


def _json(value: Any) -> Body:
    return Body(json.dumps(value).encode())


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(400, "the body is no JSON") from None
