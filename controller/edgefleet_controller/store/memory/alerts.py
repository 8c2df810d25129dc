"""Alerts in memory."""

from edgefleet_contract.alerts import AlertRecord, AlertState
from edgefleet_controller.store.contract.alerts import AlertRecords
from edgefleet_controller.store.memory.fleet_tables import FleetTables


class MemoryAlerts(AlertRecords):
    """Alerts by id."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def put(self, *alerts: AlertRecord) -> None:
        with self._tables.changes.transaction():
            for alert in alerts:
                self._tables.alerts.put(alert.id, alert)

    def all(self, *, state: AlertState | None = None, rollout: str | None = None) -> list[AlertRecord]:
        with self._tables.changes.turn:
            known = self._tables.alerts.by_key()
        return [a for a in known if state in (None, a.state) and rollout in (None, a.rollout)]

    def forget(self, ended_before_ms: int) -> int:
        with self._tables.changes.transaction():
            old = [a.id for a in self.all(state="ended") if (a.ended_ms or 0) < ended_before_ms]
            for id_ in old:
                self._tables.alerts.pop(id_)
        return len(old)
