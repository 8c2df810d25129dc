"""Follow-ups in memory."""

from collections.abc import Iterable

from edgefleet_controller.store.contract.follow_ups import FollowUp, FollowUps
from edgefleet_controller.store.memory.fleet_tables import FleetTables


class MemoryFollowUps(FollowUps):
    """Follow-ups are numbered as they are added."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def remove(self, device: str) -> None:
        with self._tables.changes.transaction():
            number = self._tables.decisions.next()
            self._tables.follow_ups.put(number, FollowUp(number, device, "remove", 0))

    def unplace(self, device: str, since_ms: int) -> None:
        with self._tables.changes.transaction():
            number = self._tables.decisions.next()
            self._tables.follow_ups.put(number, FollowUp(number, device, "unplace", since_ms))

    def all(self) -> list[FollowUp]:
        with self._tables.changes.turn:
            return self._tables.follow_ups.by_key()

    def done(self, follow_ups: Iterable[FollowUp]) -> None:
        with self._tables.changes.transaction():
            for one in follow_ups:
                self._tables.follow_ups.pop(one.id)
