"""Bounds what connections can hold: how many are open, and how slowly a request may come."""

import asyncio
import resource

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""From the first byte, or from the connection, to the end of a request's head."""
LEAST_BYTES_PER_S = 1024
"""Of a body, over as many seconds; a link of 10 kbit/s is faster."""
SHARE = 4
"""One in so many of the process's open files may be a connection; the rest is for the store, builds and the broker."""
MOST = 512
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def most_connections() -> int:
    """How many connections may be open at once."""
    return max(8, min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE))


class BoundedConnection(H11Protocol):
    """A connection that is closed where another is too many, or where a request does not come, or hardly does."""

    head_s = HEAD_S
    most = most_connections()
    _patience: asyncio.TimerHandle | None = None
    _body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn itself
        """Wait for the first request's head, unless too many wait already."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(FULL)
            transport.close()
            return
        self._await_more()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        was_idle = self._is_idle()
        self._body_bytes += len(data)
        super().data_received(data)
        if was_idle and not self._is_idle():
            self._stop_waiting()
            self._body_bytes = 0
        if self._is_idle() or self._has_more():
            self._await_more()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_more(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.head_s, self._lose_patience)

    def _stop_waiting(self) -> None:
        if self._patience:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        came, self._body_bytes = self._body_bytes, 0
        if self._is_idle():
            self.transport.abort()
        elif self._has_more():
            # While reading is paused, the application is slow and not the client.
            if came < LEAST_BYTES_PER_S * self.head_s and not self.flow.read_paused:
                self.transport.abort()
            else:
                self._await_more()

    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _has_more(self) -> bool:
        """Whether the request's body has not come to its end."""
        return self.conn.their_state is h11.SEND_BODY
