"""The head of an HTTP/1.1 request, as far as the endpoint needs it (RFC 9112, sections 3 and 5).

The standard library parses headers as mail: that takes ten times as long on a device, and treats everything after a
malformed header as the body.
"""

import re
from dataclasses import dataclass
from io import BufferedIOBase

MAX_LINE_BYTES = 65536
MAX_HEADERS = 100

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_VERSION = re.compile(r"HTTP/([0-9])\.([0-9])")


class HeadError(Exception):
    """A malformed request; `status` is the HTTP status of the reply."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Head:
    """A request's head: path and query, and headers by lower-case name, repeated ones joined."""

    method: str
    path: str
    query: str
    closes: bool
    fields: dict[str, str]

    @property
    def has_body(self) -> bool:
        """Whether a body follows, which would be read as the next request."""
        return "content-length" in self.fields or "transfer-encoding" in self.fields

    @property
    def waits(self) -> bool:
        """Whether the client waits for `100 Continue`."""
        return self.fields.get("expect", "").lower() == "100-continue"


def read(stream: BufferedIOBase) -> Head | None:
    """Read the head of the next request; None when the client has left.

    Raises:
        HeadError: it is malformed.
    """
    line = stream.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise HeadError(414, f"the request line is longer than {MAX_LINE_BYTES} bytes")
    if not line:
        return None
    method, target, older = _request_line(line)
    path, _, query = target.partition("?")
    fields = _fields(stream)
    if fields is None:
        return None
    connection = fields.get("connection", "").lower()
    return Head(method, path, query, connection == "close" or (older and connection != "keep-alive"), fields)


def _request_line(line: bytes) -> tuple[str, str, bool]:
    """Method, path with query, and whether the client speaks HTTP/1.0."""
    words = line.decode("latin-1").split()
    version = _VERSION.fullmatch(words[2]) if len(words) == 3 else None
    if version is None:
        raise HeadError(400, "a request line is METHOD PATH HTTP/1.1")
    if version[1] != "1":
        raise HeadError(505, "only HTTP/1.1 is supported")
    return words[0], words[1], version[2] == "0"


def _fields(stream: BufferedIOBase) -> dict[str, str] | None:
    """The headers, up to the empty line; None when the client left before it."""
    found: dict[str, str] = {}
    for _ in range(MAX_HEADERS + 1):
        line = stream.readline(MAX_LINE_BYTES + 1)
        if line in (b"\r\n", b"\n"):
            return found
        if len(line) > MAX_LINE_BYTES:
            raise HeadError(431, f"a header is longer than {MAX_LINE_BYTES} bytes")
        if not line.endswith(b"\n"):
            return None
        name, colon, value = line.decode("latin-1").partition(":")
        name, value = name.lower(), value.strip()
        if not colon or not _NAME.fullmatch(name):
            raise HeadError(400, "a header line is malformed: write NAME: VALUE")
        found[name] = f"{found[name]}, {value}" if name in found else value
    raise HeadError(431, f"the request has more than {MAX_HEADERS} headers")
