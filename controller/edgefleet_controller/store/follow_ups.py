"""What telemetry has still to do because of what was decided about the fleet."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from edgefleet_controller.store.database import Database


class FollowUp(NamedTuple):
    """What has to happen to a device's telemetry.

    `remove` all of it; `unplace` what was received since `since_ms`: it is no profile's.
    """

    id: int
    device: str
    what: Literal["remove", "unplace"]
    since_ms: int


class FollowUpStore:
    """Written in the transaction of the decision, so that a kill right after it forgets nothing."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def remove(self, device: str) -> None:
        """A device was removed: everything that it measured goes."""
        self._add(device, "remove", 0)

    def unplace(self, device: str, since_ms: int) -> None:
        """What was received from a device since then is no profile's."""
        self._add(device, "unplace", since_ms)

    def _add(self, device: str, what: str, since_ms: int) -> None:
        self._db.execute("INSERT INTO follow_ups (device, what, since_ms) VALUES (?, ?, ?)", [device, what, since_ms])

    def all(self) -> list[FollowUp]:
        """What has not been done yet, in the order in which it was decided."""
        return list(
            map(FollowUp._make, self._db.tuples("SELECT id, device, what, since_ms FROM follow_ups ORDER BY id"))
        )

    def done(self, follow_ups: Iterable[FollowUp]) -> None:
        """These are done."""
        with self._db.together():
            for one in follow_ups:
                self._db.execute("DELETE FROM follow_ups WHERE id = ?", [one.id])
