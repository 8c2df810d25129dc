"""Operations in SQLite."""

from edgefleet_contract.operations import OperationRecord
from edgefleet_controller.store.contract.not_found import no_operation
from edgefleet_controller.store.contract.operations import OperationRecords
from edgefleet_controller.store.sqlite.database import Database, TableRow, unfolded

_JSON = ("progress", "result")


class SqliteOperationRecords(OperationRecords):
    """A row per operation."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, operation: OperationRecord) -> None:
        self._db.put("operations", operation.model_dump(mode="json"))

    def get(self, operation_id: str) -> OperationRecord:
        row = self._db.row("SELECT * FROM operations WHERE id = ?", [operation_id])
        if row is None:
            raise no_operation(operation_id)
        return _operation(row)

    def all(self) -> list[OperationRecord]:
        return [_operation(row) for row in self._db.rows("SELECT * FROM operations ORDER BY id")]


def _operation(row: TableRow) -> OperationRecord:
    return OperationRecord.model_validate(unfolded(row, _JSON))
