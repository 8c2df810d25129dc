"""Conflicts in memory."""

from edgefleet_contract.devices import ConflictRecord, HeardRecord
from edgefleet_controller.store.contract.conflicts import Conflicts
from edgefleet_controller.store.memory.fleet_tables import FleetTables
from edgefleet_protocol.phases import ENDED


class MemoryConflicts(Conflicts):
    """The incarnation that reported last is in its report, the others are kept by device and incarnation."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def current(self, device: str) -> HeardRecord | None:
        with self._tables.changes.turn:
            known = self._tables.devices.get(device)
        return HeardRecord(incarnation=known.reported.incarnation, last_seen_ms=known.last_seen_ms) if known else None

    def others(self, device: str) -> list[HeardRecord]:
        incarnations = self._tables.incarnations
        with self._tables.changes.turn:
            keys = incarnations.where("device", device)
            heard = zip(keys, incarnations.values_at(keys), strict=True)
            return [HeardRecord(incarnation=name, last_seen_ms=at_ms) for (_, name), at_ms in heard]

    def keep(self, device: str, heard: HeardRecord, forget_before_ms: int) -> None:
        with self._tables.changes.transaction():
            for other in self.others(device):
                if other.last_seen_ms < forget_before_ms:
                    self._tables.incarnations.pop((device, other.incarnation))
            self._tables.incarnations.put((device, heard.incarnation), heard.last_seen_ms)

    def since_ms(self, device: str) -> int | None:
        with self._tables.changes.turn:
            return self._tables.conflicts.get(device)

    def begin(self, device: str, words: str, now_ms: int) -> None:
        deferred = {"phase": "deferred", "reason": None, "detail": words, "changed_ms": now_ms}
        with self._tables.changes.transaction():
            self._tables.conflicts.put(device, now_ms)
            for execution in self._tables.executions_of(device):
                if execution.phase not in ENDED:
                    self._tables.put_execution(execution.model_copy(update=deferred))

    def end(self, device: str) -> None:
        with self._tables.changes.turn:
            self._tables.conflicts.pop(device)

    def find(self, device: str) -> ConflictRecord | None:
        with self._tables.changes.turn:
            since_ms, current = self._tables.conflicts.get(device), self.current(device)
            if since_ms is None or current is None:
                return None
            others = [other for other in self.others(device) if other.incarnation != current.incarnation]
        heard = sorted([current, *others], key=lambda one: one.last_seen_ms, reverse=True)
        return ConflictRecord(since_ms=since_ms, incarnations=tuple(heard))

    def all(self) -> dict[str, ConflictRecord]:
        with self._tables.changes.turn:
            found = {device: self.find(device) for device, _ in sorted(self._tables.conflicts.items())}
        return {device: conflict for device, conflict in found.items() if conflict}

    def count(self) -> int:
        with self._tables.changes.turn:
            return len(self._tables.conflicts)
