"""Changes that the telemetry store has yet to make after decisions about the fleet."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol


class FollowUp(NamedTuple):
    """A pending change to a device's telemetry.

    `remove` deletes all of it; `unplace` takes the profile off what was received since `since_ms`.
    """

    id: int
    device: str
    what: Literal["remove", "unplace"]
    since_ms: int


class FollowUps(Protocol):
    """Written in the transaction of the decision, so that a kill right after it loses nothing."""

    def remove(self, device: str) -> None:
        """A device was removed: delete everything that it measured."""

    def unplace(self, device: str, since_ms: int) -> None:
        """Take the profile off everything received from a device since then."""

    def all(self) -> list[FollowUp]:
        """The pending follow-ups; MUST be in the order they were added."""

    def done(self, follow_ups: Iterable[FollowUp]) -> None:
        """Mark these as done; those already done are ignored."""
