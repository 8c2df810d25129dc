"""Bounds what connections can hold: how many are open, and how long a request's head may take."""

import asyncio
import resource

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""From the first byte, or from the connection, to the end of a request's head."""
SHARE = 4
"""One in so many of the process's open files may be a connection; the rest is for the store, builds and the broker."""
MOST = 512
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def most_connections() -> int:
    """How many connections may be open at once."""
    return max(8, min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE))


class BoundedConnection(H11Protocol):
    """A connection that is closed where another is too many, or where a request's head does not come."""

    head_s = HEAD_S
    most = most_connections()
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn itself
        """Wait for the first request's head, unless too many wait already."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(FULL)
            transport.close()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._is_idle():
            self._await_head()
        super().data_received(data)
        if self._patience and not self._is_idle():
            self._patience.cancel()
            self._patience = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._patience:
            self._patience.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.head_s, self._lose_patience)

    def _lose_patience(self) -> None:
        self._patience = None
        if self._is_idle():
            self.transport.abort()

    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete
