"""Asks every device to report, and marks those that don't as offline, since a last will may have been lost."""

from collections.abc import Callable
from typing import Protocol

from edgefleet_controller.clock import now_ms

ANSWER_S = 180.0
"""Every device that is online reports within this time, three times its longest pause before a reconnect."""


class Attendance(Protocol):
    """The one method of the store that this needs."""

    def put_unheard(self, since_ms: int) -> None:
        """Mark devices offline that have not been heard since then."""


class Connection(Protocol):
    """The part of the bus that this needs."""

    @property
    def connected(self) -> bool:
        """Whether the broker is connected."""


class PresenceSweep:
    """Catches last wills that were lost with the broker, or while the controller was disconnected.

    Args:
        devices: stores which devices are online.
        hello: asks every device to report within the given seconds.
        connection: the connection to the broker.
        jitter_s: how much time hello gives, in seconds.
        clock: milliseconds UTC.
    """

    def __init__(
        self,
        devices: Attendance,
        hello: Callable[[float], None],
        connection: Connection,
        jitter_s: float,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._devices, self._hello, self._connection = devices, hello, connection
        self._jitter_s, self._clock = jitter_s, clock
        self._answer_ms = (ANSWER_S + jitter_s) * 1000
        self._asked_ms: int | None = None

    def begin(self) -> None:
        """Say hello: nothing sent before our subscription was received."""
        self._asked_ms = self._clock()
        self._hello(self._jitter_s)

    def tick(self) -> None:
        """Mark silent devices offline when the time is up; after a lost connection, the next one starts over."""
        asked_ms = self._asked_ms
        if asked_ms is not None and self._connection.connected and self._clock() - asked_ms > self._answer_ms:
            self._devices.put_unheard(asked_ms)
            self._asked_ms = None
