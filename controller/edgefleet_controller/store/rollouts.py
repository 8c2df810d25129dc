"""Rollouts, their waves and executions, and the audit trail."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from edgefleet_controller.errors import NotFound
from edgefleet_controller.records import ExecutionRecord, RolloutPhase, RolloutRecord
from edgefleet_controller.store.database import Database, Row
from edgefleet_protocol.phases import ENDED


class RolloutStore:
    """What was decided, and how far each device is."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that one decision changes, or nothing of it."""
        with self._db.transaction():
            yield

    def put(self, rollout: RolloutRecord) -> None:
        """Keep a rollout and its waves."""
        with self._db.transaction():
            row = rollout.model_dump(mode="json", exclude={"waves"})
            self._db.put("rollouts", row)
            for wave in rollout.waves:
                self._db.put("waves", {"rollout": rollout.id, **wave.model_dump()})

    def get(self, rollout_id: str) -> RolloutRecord:
        """A rollout by its id.

        Raises:
            NotFound: there is none.
        """
        row = self._db.row("SELECT * FROM rollouts WHERE id = ?", [rollout_id])
        if row is None:
            raise NotFound(f"no rollout {rollout_id}")
        return self._rollout(row)

    def all(self, *states: RolloutPhase) -> list[RolloutRecord]:
        """Rollouts in these states, or all of them, the oldest first."""
        rows = self._db.rows("SELECT * FROM rollouts ORDER BY id")
        return [self._rollout(row) for row in rows if not states or row["state"] in states]

    def _rollout(self, row: Row) -> RolloutRecord:
        found = self._db.rows("SELECT * FROM waves WHERE rollout = ? ORDER BY number", [row["id"]])
        waves = [{**wave, "evidence": json.loads(wave["evidence"])} for wave in found]
        return RolloutRecord.model_validate({**row, "spec": json.loads(row["spec"]), "waves": waves})

    def put_executions(self, executions: Iterable[ExecutionRecord]) -> None:
        """Keep executions."""
        with self._db.transaction():
            for execution in executions:
                self._db.put("executions", execution.model_dump())

    def executions(self, rollout_id: str) -> list[ExecutionRecord]:
        """The executions of a rollout, by wave and device."""
        rows = self._db.rows("SELECT * FROM executions WHERE rollout = ? ORDER BY wave, device", [rollout_id])
        return [ExecutionRecord.model_validate(row) for row in rows]

    def executions_of(self, device: str, model: str) -> list[ExecutionRecord]:
        """Every execution that one device had for one model, the newest last."""
        rows = self._db.rows(
            """SELECT e.* FROM executions e JOIN rollouts r ON r.id = e.rollout
               WHERE e.device = ? AND json_extract(r.spec, '$.model') = ? ORDER BY e.rollout""",
            [device, model],
        )
        return [ExecutionRecord.model_validate(row) for row in rows]

    def counts(self, rollout_id: str) -> dict[int, dict[str, int]]:
        """How many devices of each wave are in which phase."""
        counts: dict[int, Counter[str]] = {}
        for row in self._db.rows(
            "SELECT wave, phase, count(*) AS n FROM executions WHERE rollout = ? GROUP BY wave, phase", [rollout_id]
        ):
            counts.setdefault(row["wave"], Counter())[row["phase"]] = row["n"]
        return {wave: dict(counter) for wave, counter in sorted(counts.items())}

    def counts_back(self, rollout_id: str) -> dict[str, int]:
        """How many devices that have to go back are in which phase of their way."""
        rows = self._db.rows(
            """SELECT back_phase, count(*) AS n FROM executions WHERE rollout = ? AND back_phase IS NOT NULL
               GROUP BY back_phase""",
            [rollout_id],
        )
        return {row["back_phase"]: row["n"] for row in rows}

    def open_devices(self, model: str) -> dict[str, str]:
        """Devices that a rollout in progress wants for this model, with that rollout's id."""
        rows = self._db.rows(
            """SELECT e.device, e.rollout, e.phase, r.state FROM executions e JOIN rollouts r ON r.id = e.rollout
               WHERE json_extract(r.spec, '$.model') = ?
               AND r.state IN ('building', 'scheduled', 'running', 'paused', 'rolling_back')""",
            [model],
        )
        # While a rollout goes back, how it had ended on a device says nothing of whether the device is done.
        return {r["device"]: r["rollout"] for r in rows if r["state"] == "rolling_back" or r["phase"] not in ENDED}

    def note(self, at_ms: int, what: str, subject: str, detail: str | None = None) -> None:
        """Add to the audit trail."""
        self._db.execute(
            "INSERT INTO audit (at_ms, what, subject, detail) VALUES (?, ?, ?, ?)", [at_ms, what, subject, detail]
        )

    def audit(self, subject: str) -> list[tuple[int, str, str | None]]:
        """The audit trail of one subject: (ms, what, detail), the oldest first."""
        rows = self._db.rows("SELECT at_ms, what, detail FROM audit WHERE subject = ? ORDER BY id", [subject])
        return [(row["at_ms"], row["what"], row["detail"]) for row in rows]
