"""Desired states in memory."""

from collections.abc import Iterable

from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.store.contract.desired import DesiredStates
from edgefleet_controller.store.memory.fleet_tables import FleetTables


class MemoryDesiredStates(DesiredStates):
    """Records by device and model."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def put(self, *desired: DesiredRecord) -> None:
        with self._tables.changes.transaction():
            for record in desired:
                self._tables.desired.put((record.device, record.model), record)

    def of(self, device: str) -> list[DesiredRecord]:
        with self._tables.changes.turn:
            return self._tables.desired.values_at(sorted(self._tables.desired.where("device", device)))

    def of_each(self, devices: Iterable[str]) -> dict[str, list[DesiredRecord]]:
        with self._tables.changes.turn:
            found = {device: self.of(device) for device in devices}
        return {device: records for device, records in sorted(found.items()) if records}

    def of_model(self, model: str, devices: Iterable[str]) -> dict[str, DesiredRecord]:
        with self._tables.changes.turn:
            found = {device: self._tables.desired.get((device, model)) for device in devices}
        return {device: record for device, record in found.items() if record}
