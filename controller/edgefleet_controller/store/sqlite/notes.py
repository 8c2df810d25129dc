"""Notes of what has changed since the last look, taken by SQLite triggers and undone with their transaction."""

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.store.live import TouchedExecutions
from edgefleet_controller.store.sqlite.database import Database

# For this connection only, in memory: after a restart everything is read once anyway.
_TABLES = (
    "PRAGMA temp_store = MEMORY",
    "CREATE TEMP TABLE touched (rollout TEXT, device TEXT, PRIMARY KEY (rollout, device)) WITHOUT ROWID",
    "CREATE TEMP TABLE moved (revision INTEGER PRIMARY KEY AUTOINCREMENT, device TEXT NOT NULL UNIQUE)",
)
# No OR REPLACE: in a trigger, the conflict handling of the statement that fired it applies.
_TOUCHED = """CREATE TEMP TRIGGER touched_{name} AFTER {event} ON executions
    BEGIN INSERT INTO touched SELECT {row}.rollout, {row}.device WHERE NOT EXISTS
    (SELECT 1 FROM touched WHERE rollout = {row}.rollout AND device = {row}.device); END"""
_MOVED = """CREATE TEMP TRIGGER moved_{name} AFTER {event} {when}
    BEGIN DELETE FROM moved WHERE device = {row}; INSERT INTO moved (device) VALUES ({row}); END"""
_ELSEWHERE = "old.region != new.region OR old.hardware != new.hardware OR old.link != new.link"
_TRIGGERS = (
    _TOUCHED.format(name="inserted", event="INSERT", row="new"),
    _TOUCHED.format(name="updated", event="UPDATE", row="new"),
    _TOUCHED.format(name="deleted", event="DELETE", row="old"),
    _MOVED.format(name="in", event="INSERT ON devices", when="", row="new.id"),
    _MOVED.format(
        name="on", event="UPDATE ON devices", when=f"WHEN old.labels != new.labels OR {_ELSEWHERE}", row="new.id"
    ),
    _MOVED.format(name="annotated", event="INSERT ON annotations", when="", row="new.device"),
    _MOVED.format(name="accepted", event="INSERT ON admissions", when="", row="new.device"),
)


def take_notes(db: Database) -> None:
    """Start noting which executions are touched, and which devices a selector may now match."""
    for statement in (*_TABLES, *_TRIGGERS):
        db.execute(statement)


class SqliteTouched(TouchedExecutions):
    """Reads the triggers' notes."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, rollout: str) -> list[ExecutionRecord]:
        rows = self._db.rows(
            """SELECT e.* FROM touched t JOIN executions e ON e.rollout = t.rollout AND e.device = t.device
               WHERE t.rollout = ? ORDER BY e.wave, e.device""",
            [rollout],
        )
        return [ExecutionRecord.model_validate(row) for row in rows]

    def clear(self, rollout: str) -> None:
        self._db.execute("DELETE FROM touched WHERE rollout = ?", [rollout])

    def rollouts(self) -> list[str]:
        return [rollout for (rollout,) in self._db.tuples("SELECT DISTINCT rollout FROM touched")]
