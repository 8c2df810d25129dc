"""Alerts in SQLite."""

from edgefleet_contract.alerts import AlertRecord, AlertState
from edgefleet_controller.store.contract.alerts import AlertRecords
from edgefleet_controller.store.sqlite.database import Database, Into

_ALERTS = Into("alerts", ("id", "rollout", "ended_ms", "alert"), key=("id",))


class SqliteAlerts(AlertRecords):
    """A row per alert: the alert as JSON, with what it is looked up by beside it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, *alerts: AlertRecord) -> None:
        self._db.put_all(_ALERTS, [(a.id, a.rollout, a.ended_ms, a.model_dump_json()) for a in alerts])

    def all(self, *, state: AlertState | None = None, rollout: str | None = None) -> list[AlertRecord]:
        rows = self._db.tuples(
            """SELECT alert FROM alerts WHERE (?1 IS NULL OR (ended_ms IS NULL) = (?1 = 'open'))
               AND (?2 IS NULL OR rollout = ?2) ORDER BY id""",
            [state, rollout],
        )
        return [AlertRecord.model_validate_json(alert) for (alert,) in rows]

    def forget(self, ended_before_ms: int) -> int:
        return self._db.execute("DELETE FROM alerts WHERE ended_ms < ?", [ended_before_ms])
