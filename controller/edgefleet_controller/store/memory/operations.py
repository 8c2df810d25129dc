"""Operations in memory."""

from edgefleet_contract.operations import OperationRecord
from edgefleet_controller.store.contract.not_found import no_operation
from edgefleet_controller.store.contract.operations import OperationRecords
from edgefleet_controller.store.memory.fleet_tables import FleetTables


class MemoryOperationRecords(OperationRecords):
    """Operations by id."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def put(self, operation: OperationRecord) -> None:
        with self._tables.changes.turn:
            self._tables.operations.put(operation.id, operation)

    def get(self, operation_id: str) -> OperationRecord:
        with self._tables.changes.turn:
            found = self._tables.operations.get(operation_id)
        if found is None:
            raise no_operation(operation_id)
        return found

    def all(self) -> list[OperationRecord]:
        with self._tables.changes.turn:
            return self._tables.operations.by_key()
