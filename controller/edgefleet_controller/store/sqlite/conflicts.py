"""Conflicts in SQLite."""

from edgefleet_contract.devices import ConflictRecord, HeardRecord
from edgefleet_controller.store.contract.conflicts import Conflicts
from edgefleet_controller.store.sqlite.database import Database
from edgefleet_protocol.phases import ENDED

_HEARD = """SELECT c.device, c.since_ms, h.incarnation, h.last_seen_ms FROM conflicts c JOIN (
    SELECT id AS device, incarnation, last_seen_ms FROM devices UNION ALL
    SELECT i.device, i.incarnation, i.last_seen_ms FROM incarnations i JOIN devices d
    ON d.id = i.device AND d.incarnation != i.incarnation) h ON h.device = c.device
    WHERE ?1 IS NULL OR c.device = ?1 ORDER BY c.device, h.last_seen_ms DESC"""


class SqliteConflicts(Conflicts):
    """The incarnation that reported last is in `devices`, the others are in their own table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def current(self, device: str) -> HeardRecord | None:
        row = self._db.row("SELECT incarnation, last_seen_ms FROM devices WHERE id = ?", [device])
        return HeardRecord.model_validate(row) if row else None

    def others(self, device: str) -> list[HeardRecord]:
        rows = self._db.rows("SELECT incarnation, last_seen_ms FROM incarnations WHERE device = ?", [device])
        return [HeardRecord.model_validate(row) for row in rows]

    def keep(self, device: str, heard: HeardRecord, forget_before_ms: int) -> None:
        older = "DELETE FROM incarnations WHERE device = ? AND last_seen_ms < ?"
        with self._db.together():
            self._db.execute(older, [device, forget_before_ms])
            self._db.put("incarnations", {"device": device, **heard.model_dump()})

    def since_ms(self, device: str) -> int | None:
        row = self._db.row("SELECT since_ms FROM conflicts WHERE device = ?", [device])
        return int(row["since_ms"]) if row else None

    def begin(self, device: str, words: str, now_ms: int) -> None:
        marks = ", ".join("?" for _ in ENDED)
        with self._db.together():
            self._db.put("conflicts", {"device": device, "since_ms": now_ms})
            self._db.execute(
                f"""UPDATE executions SET phase = 'deferred', reason = NULL, detail = ?, changed_ms = ?
                    WHERE device = ? AND phase NOT IN ({marks})""",  # noqa: S608 - only question marks
                [words, now_ms, device, *sorted(ENDED)],
            )

    def end(self, device: str) -> None:
        self._db.execute("DELETE FROM conflicts WHERE device = ?", [device])

    def find(self, device: str) -> ConflictRecord | None:
        return self._read(device).get(device)

    def all(self) -> dict[str, ConflictRecord]:
        return self._read(None)

    def count(self) -> int:
        row = self._db.row("SELECT count(*) AS n FROM conflicts")
        return int(row["n"]) if row else 0

    def _read(self, device: str | None) -> dict[str, ConflictRecord]:
        heard: dict[str, list[HeardRecord]] = {}
        since: dict[str, int] = {}
        for row in self._db.rows(_HEARD, [device]):
            since[row["device"]] = row["since_ms"]
            heard.setdefault(row["device"], []).append(HeardRecord.model_validate(row))
        return {d: ConflictRecord(since_ms=since[d], incarnations=tuple(who)) for d, who in heard.items()}
