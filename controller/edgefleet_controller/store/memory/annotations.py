"""Annotations in memory."""

from edgefleet_controller.records import Annotation
from edgefleet_controller.store.contract.annotations import Annotations
from edgefleet_controller.store.memory.fleet_tables import FleetTables


class MemoryAnnotations(Annotations):
    """Annotations by device."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def of(self, device: str) -> Annotation:
        with self._tables.changes.turn:
            return self._tables.annotations.get(device) or Annotation()

    def put(self, device: str, annotation: Annotation) -> None:
        with self._tables.changes.transaction():
            self._tables.annotations.put(device, annotation)
            self._tables.move(device)
