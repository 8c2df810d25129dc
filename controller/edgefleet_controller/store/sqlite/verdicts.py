"""Verdicts in SQLite."""

from operator import attrgetter

from edgefleet_controller.records import VerdictRecord
from edgefleet_controller.store.contract.verdicts import VerdictRecords
from edgefleet_controller.store.sqlite.database import Database, Into

_VERDICTS = Into("verdicts", tuple(VerdictRecord.model_fields), key=("model", "profile", "variant"))
_VALUES = attrgetter(*_VERDICTS.columns)


class SqliteVerdicts(VerdictRecords):
    """A row per model, profile and variant."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, *verdicts: VerdictRecord) -> None:
        self._db.put_all(_VERDICTS, list(map(_VALUES, verdicts)))

    def of(self, model: str) -> list[VerdictRecord]:
        rows = self._db.rows(
            "SELECT * FROM verdicts WHERE model = ? ORDER BY at_ms, rollout, profile, variant", [model]
        )
        return [VerdictRecord.model_validate(row) for row in rows]
