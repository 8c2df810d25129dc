"""Follow-ups in SQLite."""

from collections.abc import Iterable

from edgefleet_controller.store.contract.follow_ups import FollowUp, FollowUps
from edgefleet_controller.store.sqlite.database import Database


class SqliteFollowUps(FollowUps):
    """A row per follow-up."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def remove(self, device: str) -> None:
        self._add(device, "remove", 0)

    def unplace(self, device: str, since_ms: int) -> None:
        self._add(device, "unplace", since_ms)

    def _add(self, device: str, what: str, since_ms: int) -> None:
        self._db.execute("INSERT INTO follow_ups (device, what, since_ms) VALUES (?, ?, ?)", [device, what, since_ms])

    def all(self) -> list[FollowUp]:
        return list(
            map(FollowUp._make, self._db.tuples("SELECT id, device, what, since_ms FROM follow_ups ORDER BY id"))
        )

    def done(self, follow_ups: Iterable[FollowUp]) -> None:
        with self._db.together():
            for one in follow_ups:
                self._db.execute("DELETE FROM follow_ups WHERE id = ?", [one.id])
