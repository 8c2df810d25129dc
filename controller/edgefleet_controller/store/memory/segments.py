"""Segments in memory."""

from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.store.contract.not_found import no_segment
from edgefleet_controller.store.contract.segments import SegmentRecords
from edgefleet_controller.store.memory.fleet_tables import FleetTables


class MemorySegments(SegmentRecords):
    """Segments by name."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def put(self, segment: SegmentRecord) -> None:
        with self._tables.changes.turn:
            self._tables.segments.put(segment.name, segment)

    def all(self) -> list[SegmentRecord]:
        with self._tables.changes.turn:
            return self._tables.segments.by_key()

    def remove(self, name: str) -> None:
        with self._tables.changes.transaction():
            if self._tables.segments.pop(name) is None:
                raise no_segment(name)

    def get(self, name: str) -> SegmentRecord:
        with self._tables.changes.turn:
            found = self._tables.segments.get(name)
        if found is None:
            raise no_segment(name)
        return found
