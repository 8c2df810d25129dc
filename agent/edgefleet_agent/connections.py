"""Limits on the endpoint's connections: how many, how long without a whole request, how many bytes at once."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from edgefleet_agent.errors import RequestError


class Connections:
    """The open connections; each waits for a request, waits for its client to read, or is being answered.

    Args:
        at_most: how many may be open; the one that has waited longest makes room for the next.
        patience_s: how long one may wait, in seconds, even if it sends a byte now and then.
        clock: the monotonic clock, in seconds.
    """

    def __init__(self, at_most: int, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_most, self._patience_s, self._clock = at_most, patience_s, clock
        self._lock = threading.Lock()
        self._waits_since_s: dict[socket.socket, float | None] = {}

    def admit(self, connection: socket.socket) -> bool:
        """Take a new connection; False when as many as allowed are being answered."""
        with self._lock:
            if len(self._waits_since_s) >= self._at_most:
                waiting = self._waiting()
                if not waiting:
                    return False
                self._hang_up(min(waiting)[2])
            self._waits_since_s[connection] = self._clock()
            return True

    def waits(self, connection: socket.socket) -> None:
        """The connection waits from now on."""
        self._set(connection, self._clock())

    def is_answered(self, connection: socket.socket) -> None:
        """The connection's request is complete: the time that follows is ours."""
        self._set(connection, None)

    def leaves(self, connection: socket.socket) -> None:
        """The connection is closed."""
        with self._lock:
            self._waits_since_s.pop(connection, None)

    def tick(self) -> None:
        """Close connections that have waited for too long."""
        with self._lock:
            for since_s, _, connection in self._waiting():
                if self._clock() - since_s > self._patience_s:
                    self._hang_up(connection)

    def _set(self, connection: socket.socket, since_s: float | None) -> None:
        with self._lock:
            if connection in self._waits_since_s:
                self._waits_since_s[connection] = since_s

    def _waiting(self) -> list[tuple[float, int, socket.socket]]:
        known = self._waits_since_s.items()
        return [(since_s, id(connection), connection) for connection, since_s in known if since_s is not None]

    def _hang_up(self, connection: socket.socket) -> None:
        # Its own thread, which may be reading or writing, closes it.
        del self._waits_since_s[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class Budget:
    """Limits the bytes of large requests in memory at once: a device has little, and a parsed request takes more.

    Args:
        size_bytes: the limit.
        large_bytes: smaller requests do not count: a slow large one must not keep them out.
    """

    def __init__(self, size_bytes: int, large_bytes: int) -> None:
        self._left_bytes, self._large_bytes = size_bytes, large_bytes
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, size_bytes: int) -> Iterator[None]:
        """Hold some bytes for a while.

        Raises:
            RequestError: 503, other requests hold too many.
        """
        if size_bytes < self._large_bytes:
            yield
            return
        with self._lock:
            if size_bytes > self._left_bytes:
                raise RequestError(503, "other large requests are being answered: try again")
            self._left_bytes -= size_bytes
        try:
            yield
        finally:
            with self._lock:
                self._left_bytes += size_bytes
