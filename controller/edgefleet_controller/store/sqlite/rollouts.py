"""Rollouts, their waves and executions in SQLite."""

import json
from collections.abc import Iterable, Sequence
from operator import attrgetter

from edgefleet_contract.rollouts import ARRIVED, BACK, LEFT, ExecutionRecord, ReturnView, RolloutPhase
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.store.contract.not_found import no_rollout
from edgefleet_controller.store.contract.rollouts import IN_PROGRESS, DownloadSoFar, PhaseTally, RolloutRecords, Said
from edgefleet_controller.store.live import KnownExecutions
from edgefleet_controller.store.sqlite.database import Database, Into, TableRow, unfolded
from edgefleet_controller.store.sqlite.notes import SqliteTouched
from edgefleet_protocol.phases import ENDED

_COLUMNS = tuple(ExecutionRecord.model_fields)
_VALUES = attrgetter(*_COLUMNS)
_EXECUTIONS = Into("executions", _COLUMNS, key=("rollout", "device"))
_ENDED = ", ".join(f"'{phase}'" for phase in sorted(ENDED))
_ARRIVED = ", ".join(f"'{phase}'" for phase in ARRIVED)
_BACK = ", ".join(f"'{phase}'" for phase in BACK)
_IN_PROGRESS = ", ".join(f"'{state}'" for state in IN_PROGRESS)
_LEFT = ", ".join(f"'{phase}'" for phase in LEFT)


class SqliteRollouts(RolloutRecords):
    """A row per rollout, wave and execution."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._models: dict[str, str] = {}
        self.live = KnownExecutions(db.transaction, self.executions, SqliteTouched(db))

    def put(self, rollout: RolloutRecord) -> None:
        with self._db.transaction():
            row = rollout.model_dump(mode="json", exclude={"waves"})
            self._db.put("rollouts", row)
            for wave in rollout.waves:
                self._db.put("waves", {"rollout": rollout.id, **wave.model_dump()})

    def get(self, rollout_id: str) -> RolloutRecord:
        row = self._db.row("SELECT * FROM rollouts WHERE id = ?", [rollout_id])
        if row is None:
            raise no_rollout(rollout_id)
        return self._rollout(row)

    def all(self, *states: RolloutPhase, changed_since_ms: int = 0) -> list[RolloutRecord]:
        marks = f"AND state IN ({', '.join('?' for _ in states)})" if states else ""
        rows = self._db.rows(
            f"SELECT * FROM rollouts WHERE changed_ms >= ? {marks} ORDER BY id",  # noqa: S608 - only question marks
            [changed_since_ms, *states],
        )
        return [self._rollout(row) for row in rows]

    def _rollout(self, row: TableRow) -> RolloutRecord:
        found = self._db.rows("SELECT * FROM waves WHERE rollout = ? ORDER BY number", [row["id"]])
        waves = [unfolded(wave, ("evidence", "judgements")) for wave in found]
        return RolloutRecord.model_validate({**row, "spec": json.loads(row["spec"]), "waves": waves})

    def put_executions(self, executions: Iterable[ExecutionRecord]) -> None:
        self._db.put_all(_EXECUTIONS, list(map(_VALUES, executions)))

    def executions(self, rollout_id: str) -> list[ExecutionRecord]:
        rows = self._db.rows("SELECT * FROM executions WHERE rollout = ? ORDER BY wave, device", [rollout_id])
        return [ExecutionRecord.model_validate(row) for row in rows]

    def page_of_executions(self, rollout_id: str, *, after: str, at_most: int) -> list[ExecutionRecord]:
        rows = self._db.rows(
            "SELECT * FROM executions WHERE rollout = ? AND device > ? ORDER BY device LIMIT ?",
            [rollout_id, after, at_most],
        )
        return [ExecutionRecord.model_validate(row) for row in rows]

    def concerned(self, said: Sequence[Said]) -> dict[tuple[str, str], list[ExecutionRecord]]:
        rows = self._db.rows(
            f"""SELECT e.*, asked.value ->> 1 AS model FROM json_each(?) asked
                JOIN executions e ON e.device = asked.value ->> 0
                WHERE e.removed_ms IS NULL AND (e.rollout = asked.value ->> 2 OR e.phase NOT IN ({_ENDED})
                OR e.back_phase NOT IN ({_BACK})) ORDER BY e.rollout""",  # noqa: S608 - our own words
            [json.dumps(said)],
        )
        found: dict[tuple[str, str], list[ExecutionRecord]] = {}
        for row in rows:
            if self._model_of(row["rollout"]) == row["model"]:
                found.setdefault((row["device"], row["model"]), []).append(ExecutionRecord.model_validate(row))
        return found

    def _model_of(self, rollout: str) -> str | None:
        """The model of a rollout, cached as it never changes."""
        if rollout not in self._models:
            row = self._db.row("SELECT json_extract(spec, '$.model') AS model FROM rollouts WHERE id = ?", [rollout])
            if row is None:
                return None
            self._models[rollout] = row["model"]
        return self._models[rollout]

    def counts(self, rollout_id: str) -> dict[int, dict[str, int]]:
        counts: dict[int, dict[str, int]] = {}
        for wave, phase, count in self._db.committed(
            "SELECT wave, phase, count(*) FROM executions WHERE rollout = ? GROUP BY wave, phase ORDER BY wave, phase",
            [rollout_id],
        ):
            counts.setdefault(wave, {})[phase] = count
        return counts

    def tallies(self, rollout_id: str) -> list[PhaseTally]:
        rows = self._db.committed(
            """SELECT wave, phase, profile, count(*) FROM executions WHERE rollout = ?
               GROUP BY wave, phase, profile ORDER BY wave, phase, profile""",
            [rollout_id],
        )
        return [PhaseTally(*row) for row in rows]

    def downloads(self, rollout_id: str) -> list[DownloadSoFar]:
        rows = self._db.committed(
            """SELECT e.wave, e.transfer_bytes, e.transfer_total_bytes, e.transfer_s, e.reason IS NOT NULL,
               json_extract(d.reported, '$.measured_kbps') FROM executions e LEFT JOIN devices d ON d.id = e.device
               WHERE e.rollout = ? AND e.phase = 'downloading' AND e.transfer_total_bytes IS NOT NULL""",
            [rollout_id],
        )
        return [
            DownloadSoFar(wave, done, total, seconds, bool(held), kbps)
            for wave, done, total, seconds, held, kbps in rows
        ]

    def counts_back(self, rollout_id: str) -> dict[str, int]:
        rows = self._db.committed(
            """SELECT back_phase, count(*) FROM executions WHERE rollout = ? AND back_phase IS NOT NULL
               GROUP BY back_phase ORDER BY back_phase""",
            [rollout_id],
        )
        return dict(rows)

    def returns(self, rollout_id: str) -> list[ReturnView]:
        rows = self._db.committed(
            f"""SELECT back_variant, back_why, count(*), sum(back_phase IN ({_ARRIVED}))
                FROM executions WHERE rollout = ? AND back_phase != 'superseded'
                GROUP BY back_variant, back_why ORDER BY back_variant, back_why""",  # noqa: S608 - our own words
            [rollout_id],
        )
        return [ReturnView(variant=v, why=why, devices=devices, back=back) for v, why, devices, back in rows]

    def committed_by(self, model: str, devices: Iterable[str]) -> dict[str, list[str]]:
        rows = self._db.tuples(
            """SELECT e.device, e.variant FROM json_each(?) asked
               JOIN executions e ON e.device = asked.value JOIN rollouts r ON r.id = e.rollout
               WHERE e.phase = 'committed' AND e.variant IS NOT NULL AND json_extract(r.spec, '$.model') = ?
               ORDER BY e.rollout DESC""",
            [json.dumps(list(devices)), model],
        )
        found: dict[str, list[str]] = {}
        for device, variant in rows:
            found.setdefault(device, []).append(variant)
        return found

    def moved_on(self, rollout_id: str) -> dict[str, str]:
        rows = self._db.tuples(
            f"""SELECT e.device, max(later.rollout) FROM executions e
               JOIN executions later ON later.device = e.device AND later.rollout > e.rollout
               JOIN rollouts r ON r.id = e.rollout JOIN rollouts l ON l.id = later.rollout
               WHERE e.rollout = ? AND later.phase = 'committed'
               AND NOT (coalesce(later.back_phase, '') IN ({_BACK}) AND later.back_variant IS e.variant)
               AND json_extract(l.spec, '$.model') = json_extract(r.spec, '$.model')
               GROUP BY e.device""",  # noqa: S608 - our own words
            [rollout_id],
        )
        return dict(rows)

    def owners(self, model: str, devices: Iterable[str]) -> dict[str, str]:
        rows = self._db.tuples(
            f"""SELECT e.device, min(e.rollout) FROM json_each(?) asked
                JOIN executions e ON e.device = asked.value JOIN rollouts r ON r.id = e.rollout
                WHERE r.state IN ({_IN_PROGRESS}) AND json_extract(r.spec, '$.model') = ?
                AND e.removed_ms IS NULL AND e.phase NOT IN ({_LEFT}) GROUP BY e.device""",  # noqa: S608 - our own words
            [json.dumps(list(devices)), model],
        )
        return dict(rows)
