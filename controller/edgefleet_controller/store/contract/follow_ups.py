"""What telemetry has still to do because of what was decided about the fleet."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol


class FollowUp(NamedTuple):
    """What has to happen to a device's telemetry.

    `remove` all of it; `unplace` what was received since `since_ms`: it is no profile's.
    """

    id: int
    device: str
    what: Literal["remove", "unplace"]
    since_ms: int


class FollowUps(Protocol):
    """Written in the transaction of the decision, so that a kill right after it forgets nothing."""

    def remove(self, device: str) -> None:
        """A device was removed: everything that it measured goes."""

    def unplace(self, device: str, since_ms: int) -> None:
        """What was received from a device since then is no profile's."""

    def all(self) -> list[FollowUp]:
        """What has not been done yet; MUST be in the order in which it was decided."""

    def done(self, follow_ups: Iterable[FollowUp]) -> None:
        """These are done; one that is done already changes nothing."""
