"""Executions of rollouts under way, kept in memory: each look reads from the store only what has changed since."""

from collections.abc import Collection

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.store.database import Database

_OF = "SELECT * FROM executions WHERE rollout = ? ORDER BY wave, device"
_TOUCHED = """SELECT e.* FROM touched t JOIN executions e ON e.rollout = t.rollout AND e.device = t.device
    WHERE t.rollout = ? ORDER BY e.wave, e.device"""


class LiveExecutions:
    """For one reader, the conductor. The store stays the truth: nothing is in memory that is not written there.

    What is read within a transaction that fails must be dropped: it may have been written by that transaction.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, dict[str, ExecutionRecord]] = {}

    def of(self, rollout: str) -> list[ExecutionRecord]:
        """The executions of a rollout: by wave and device, late joiners last."""
        with self._db.transaction():
            known = self._known.get(rollout)
            rows = self._db.rows(_OF if known is None else _TOUCHED, [rollout])
            if rows:
                self._db.execute("DELETE FROM touched WHERE rollout = ?", [rollout])
            if known is None:
                known = self._known[rollout] = {}
            known.update((row["device"], ExecutionRecord.model_validate(row)) for row in rows)
            return list(known.values())

    def drop(self, rollout: str) -> None:
        """Read everything anew at the next look."""
        with self._db.transaction():
            self._known.pop(rollout, None)

    def keep_only(self, rollouts: Collection[str]) -> None:
        """Forget rollouts that have ended."""
        with self._db.transaction():
            for rollout in self._known.keys() - set(rollouts):
                del self._known[rollout]
            for row in self._db.rows("SELECT DISTINCT rollout FROM touched"):
                if row["rollout"] not in self._known:
                    self._db.execute("DELETE FROM touched WHERE rollout = ?", [row["rollout"]])
