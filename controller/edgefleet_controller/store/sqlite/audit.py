"""The audit trail in SQLite."""

from edgefleet_controller.store.contract.audit import Audit, AuditEntry
from edgefleet_controller.store.sqlite.database import Database


class SqliteAudit(Audit):
    """Lines are numbered by SQLite as they are added."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def note(self, at_ms: int, what: str, subject: str, detail: str | None = None) -> None:
        self._db.execute(
            "INSERT INTO audit (at_ms, what, subject, detail) VALUES (?, ?, ?, ?)", [at_ms, what, subject, detail]
        )

    def of(self, subject: str) -> list[AuditEntry]:
        rows = self._db.tuples("SELECT at_ms, what, detail FROM audit WHERE subject = ? ORDER BY id", [subject])
        return list(map(AuditEntry._make, rows))
