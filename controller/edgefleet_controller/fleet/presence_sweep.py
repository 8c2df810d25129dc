"""The roll-call after hello: whoever is not heard is gone, though no broker has told us their last will."""

from typing import Protocol

ANSWER_S = 180.0
"""Everyone who is there is heard within this: three times the longest pause before a device connects again."""


class Attendance(Protocol):
    """The one method of the store that this needs."""

    def put_unheard(self, since_ms: int) -> None:
        """Mark as gone whoever was not heard since then."""


class PresenceSweep:
    """A last will is lost with the broker that kept it, or while nobody listens.

    Args:
        devices: where it is kept who is there.
        jitter_s: how much time hello gives, in seconds.
    """

    def __init__(self, devices: Attendance, jitter_s: float) -> None:
        self._devices = devices
        self._answer_ms = (ANSWER_S + jitter_s) * 1000
        self._asked_ms: int | None = None

    def asked(self, now_ms: int) -> None:
        """Hello has been said."""
        self._asked_ms = now_ms

    def tick(self, now_ms: int, connected: bool) -> None:
        """Close the roll-call when its time is up; one that a lost connection cut short is held anew."""
        asked_ms = self._asked_ms
        if asked_ms is not None and connected and now_ms - asked_ms > self._answer_ms:
            self._devices.put_unheard(asked_ms)
            self._asked_ms = None
