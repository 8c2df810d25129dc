"""Who may be connected to the endpoint: so many at once, and nobody for long without a whole request."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from edgefleet_agent.errors import RequestError


class Connections:
    """The open connections; each either waits for a request, or for its client to read, or is being answered.

    Args:
        at_most: how many there may be; who has waited longest makes room for the next one.
        patience_s: how long one may wait, in seconds, however busily it sends a byte now and then.
        clock: the monotonic clock, in seconds.
    """

    def __init__(self, at_most: int, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_most, self._patience_s, self._clock = at_most, patience_s, clock
        self._lock = threading.Lock()
        self._waits_since_s: dict[socket.socket, float | None] = {}

    def admit(self, connection: socket.socket) -> bool:
        """Take a new one; false when all that there may be are being answered."""
        with self._lock:
            if len(self._waits_since_s) >= self._at_most:
                waiting = self._waiting()
                if not waiting:
                    return False
                self._hang_up(min(waiting)[2])
            self._waits_since_s[connection] = self._clock()
            return True

    def waits(self, connection: socket.socket) -> None:
        """It waits from now on."""
        self._set(connection, self._clock())

    def is_answered(self, connection: socket.socket) -> None:
        """Its request is whole: the time that follows is ours."""
        self._set(connection, None)

    def leaves(self, connection: socket.socket) -> None:
        """It is closed."""
        with self._lock:
            self._waits_since_s.pop(connection, None)

    def tick(self) -> None:
        """Hang up on those that have waited for too long."""
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
        # Its own thread closes it: that one reads or writes it just now.
        del self._waits_since_s[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class Budget:
    """How many bytes of large requests may be held at once: a device's memory is small, and a request unfolds in it.

    Args:
        size_bytes: how many.
        large_bytes: smaller requests are free: a large one that comes slowly must not keep them out.
    """

    def __init__(self, size_bytes: int, large_bytes: int) -> None:
        self._left_bytes, self._large_bytes = size_bytes, large_bytes
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, size_bytes: int) -> Iterator[None]:
        """Hold so many bytes for a while.

        Raises:
            RequestError: 503, others hold them.
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
