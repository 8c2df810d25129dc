"""The audit trail in memory."""

from edgefleet_controller.store.contract.audit import Audit, AuditEntry
from edgefleet_controller.store.memory.fleet_tables import FleetTables


class MemoryAudit(Audit):
    """Lines are numbered as they are added."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def note(self, at_ms: int, what: str, subject: str, detail: str | None = None) -> None:
        with self._tables.changes.transaction():
            self._tables.audit.put((subject, self._tables.entries.next()), AuditEntry(at_ms, what, detail))

    def of(self, subject: str) -> list[AuditEntry]:
        with self._tables.changes.turn:
            return self._tables.audit.values_at(sorted(self._tables.audit.where("subject", subject)))
