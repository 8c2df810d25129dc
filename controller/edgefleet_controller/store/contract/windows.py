"""Telemetry windows: each stored once, and acknowledged in order."""

from collections.abc import Iterable
from typing import Annotated, NamedTuple, Protocol

from pydantic import Field

from edgefleet_protocol.fields import Id
from edgefleet_protocol.messages import Part, TelemetryWindow

MAX_LATE_MS = 7 * 24 * 3_600_000
"""The age of a device's full spool; a window that claims to be older was measured with a wrong clock."""

MAX_LOST = 2**53 - 1
"""The most lost windows that are told; only devices that make their numbers up reach it."""


class SenderProfile(Protocol):
    """The profile of a window's sender, in its parts, as in `Facts`."""

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
    """A window with its sender's profile; `place` is None if the sender has not reported yet."""

    device: str
    window: TelemetryWindow
    place: SenderProfile | None
    received_ms: int

    @property
    def at_ms(self) -> int:
        """When it was measured, by the device's clock if that is trusted and plausible, else when it was received."""
        started = self.window.started_ms
        if self.window.clock_trusted and started is not None:
            possible = self.received_ms - MAX_LATE_MS <= started <= self.received_ms
            return started if possible else self.received_ms
        return self.received_ms


class WindowNumber(Part):
    """The part of a TelemetryWindow that says which one it is, to acknowledge one that cannot be read otherwise."""

    incarnation: Id
    seq: Annotated[int, Field(ge=1, lt=2**62)]
    first_kept_seq: Annotated[int, Field(ge=1, lt=2**62)]


class Stored(NamedTuple):
    """What became of a batch: the highest seq stored without a gap by (device, incarnation), and how many are new."""

    through: dict[tuple[str, str], int]
    new: int


class Windows(Protocol):
    """Windows by device, incarnation and seq, and up to which seq each incarnation's are stored without a gap."""

    def put(self, batch: Iterable[StoredWindow]) -> Stored:
        """Store a batch.

        A stored window MUST stay as it is, and one deleted after it was rolled up MUST NOT come back. The
        acknowledgement MUST reach at least the window before the first that the device has kept, so that dropped
        windows never hold it up, and MUST never go back. Windows that it skips and that never arrived count as lost,
        unless the incarnation is new to the store.
        """

    def pass_over(self, unreadable: Iterable[tuple[str, WindowNumber]]) -> dict[tuple[str, str], int]:
        """Acknowledge windows that were set aside, each with its device: what was not stored, and never will be.

        Otherwise they would hold up all that their device sends after them. Returns `Stored.through`. A window MUST
        be passed over only once all before it are acknowledged, so that the device sends it again until then; it does
        not count as lost.
        """

    def through(self, device: str, incarnation: str) -> int:
        """Up to which seq the windows of an incarnation are stored; 0 for an unknown one."""

    def lost(self, device: str | None = None) -> int:
        """How many windows a device, or all devices, had dropped before we got them; at most `MAX_LOST`."""

    def lost_by(self, devices: Iterable[str]) -> dict[str, int]:
        """How many windows each of these devices had dropped, as `lost` tells; only devices that lost any."""

    def unplace(self, device: str, since_ms: int) -> None:
        """Take the profile off windows received from a device since then, unless they are in a roll-up."""

    def remove(self, device: str) -> None:
        """Remove a device's windows and acknowledgements; roll-ups keep their sums."""

    def count(self, device: str | None = None) -> int:
        """How many windows are stored, for one device or all."""
