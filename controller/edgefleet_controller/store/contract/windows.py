"""Telemetry windows: stored once each, and acknowledged in order."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from edgefleet_protocol.messages import TelemetryWindow

MAX_LATE_MS = 7 * 24 * 3_600_000
"""A full spool of a device is that old; what claims to be older was measured by a clock that is wrong."""


class SenderProfile(Protocol):
    """What the controller knows of a window's sender: the parts of its profile, as in `Facts`."""

    @property
    def region(self) -> str:
        """The region's name."""

    @property
    def hardware(self) -> str:
        """The hardware's name."""

    @property
    def link(self) -> str:
        """The link's name."""


class StoredWindow(NamedTuple):
    """A window with what the controller knows of its sender; a sender that has not reported yet has no place."""

    device: str
    window: TelemetryWindow
    place: SenderProfile | None
    received_ms: int

    @property
    def at_ms(self) -> int:
        """When it was measured: by the device's clock if that is trusted and possible, else when it was received."""
        started = self.window.started_ms
        if self.window.clock_trusted and started is not None:
            possible = self.received_ms - MAX_LATE_MS <= started <= self.received_ms
            return started if possible else self.received_ms
        return self.received_ms


class Windows(Protocol):
    """Windows by device, incarnation and seq, and how far those of each incarnation are stored without a gap."""

    def put(self, batch: Iterable[StoredWindow]) -> dict[tuple[str, str], int]:
        """Store a batch; the highest seq stored without a gap, by (device, incarnation).

        A window that is stored MUST stay as it is, and one that was deleted after it had gone into a roll-up MUST NOT
        come back. What a device no longer has never holds the acknowledgement up: it goes at least to the one before
        the first that the device has kept, and never back. Windows that it passes over and that never came are lost;
        of an incarnation that is new to the store nothing is known as lost.
        """

    def through(self, device: str, incarnation: str) -> int:
        """Through which number the windows of an incarnation are stored; 0 for one that is not known."""

    def lost(self, device: str | None = None) -> int:
        """How many windows a device, or all of them, no longer had when we missed them."""

    def lost_by(self, devices: Iterable[str]) -> dict[str, int]:
        """How many windows each of these devices no longer had when we missed them; only those that lost any."""

    def unplace(self, device: str, since_ms: int) -> None:
        """Windows that were received from a device since then, and are in no roll-up yet, are no profile's."""

    def remove(self, device: str) -> None:
        """Remove everything that one device measured, and how far it was stored; roll-ups keep their sums."""

    def count(self, device: str | None = None) -> int:
        """How many windows are stored, of a device or of all."""
