"""Ask every device to report, and mark as gone those that don't: a last will may have been lost."""

from collections.abc import Callable
from typing import Protocol

from edgefleet_controller.clock import now_ms

ANSWER_S = 180.0
"""Every device that is there reports within this: three times the longest pause before it connects again."""


class Attendance(Protocol):
    """The one method of the store that this needs."""

    def put_unheard(self, since_ms: int) -> None:
        """Mark as gone whoever was not heard since then."""


class Connection(Protocol):
    """The part of the bus that this needs."""

    @property
    def connected(self) -> bool:
        """Whether we hear the broker."""


class PresenceSweep:
    """A last will is lost with the broker that kept it, or while the controller is not connected.

    Args:
        devices: keeps who is there.
        hello: asks every device to report within so many seconds.
        connection: to the broker.
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
        """Say hello: what was sent before our subscription reached nobody."""
        self._asked_ms = self._clock()
        self._hello(self._jitter_s)

    def tick(self) -> None:
        """End the sweep when its time is up; one that a lost connection cut short begins again with the next."""
        asked_ms = self._asked_ms
        if asked_ms is not None and self._connection.connected and self._clock() - asked_ms > self._answer_ms:
            self._devices.put_unheard(asked_ms)
            self._asked_ms = None
