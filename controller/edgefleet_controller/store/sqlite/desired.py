"""Desired states in SQLite."""

import json
from collections.abc import Iterable
from operator import attrgetter

from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.store.contract.desired import DesiredStates
from edgefleet_controller.store.sqlite.database import Database, Into

_DESIRED = Into("desired", tuple(DesiredRecord.model_fields), key=("device", "model"))
_VALUES = attrgetter(*_DESIRED.columns)


class SqliteDesiredStates(DesiredStates):
    """A row per device and model."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, *desired: DesiredRecord) -> None:
        self._db.put_all(_DESIRED, list(map(_VALUES, desired)))

    def of(self, device: str) -> list[DesiredRecord]:
        rows = self._db.rows("SELECT * FROM desired WHERE device = ? ORDER BY model", [device])
        return [DesiredRecord.model_validate(row) for row in rows]

    def of_each(self, devices: Iterable[str]) -> dict[str, list[DesiredRecord]]:
        found: dict[str, list[DesiredRecord]] = {}
        for row in self._db.rows(
            "SELECT * FROM desired WHERE device IN (SELECT value FROM json_each(?)) ORDER BY device, model",
            [json.dumps(list(devices))],
        ):
            found.setdefault(row["device"], []).append(DesiredRecord.model_validate(row))
        return found

    def of_model(self, model: str, devices: Iterable[str]) -> dict[str, DesiredRecord]:
        rows = self._db.rows(
            "SELECT * FROM desired WHERE model = ? AND device IN (SELECT value FROM json_each(?))",
            [model, json.dumps(list(devices))],
        )
        return {row["device"]: DesiredRecord.model_validate(row) for row in rows}
