"""Rollouts and executions in memory."""

from collections import Counter
from collections.abc import Iterable, Sequence

from edgefleet_contract.rollouts import ARRIVED, ExecutionRecord, ReturnView, RolloutPhase
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.store.contract.not_found import no_rollout
from edgefleet_controller.store.contract.rollouts import IN_PROGRESS, DownloadSoFar, PhaseTally, RolloutRecords, Said
from edgefleet_controller.store.live import KnownExecutions, TouchedExecutions
from edgefleet_controller.store.memory.fleet_tables import FleetTables
from edgefleet_protocol.phases import ENDED


class MemoryRollouts(RolloutRecords):
    """Rollouts by id, with their waves; executions by rollout and device."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables
        self.live = KnownExecutions(tables.changes.transaction, self.executions, MemoryTouched(tables))

    def put(self, rollout: RolloutRecord) -> None:
        with self._tables.changes.turn:
            known = self._tables.rollouts.get(rollout.id)
            waves = {wave.number: wave for wave in (*(known.waves if known else ()), *rollout.waves)}
            in_order = tuple(waves[number] for number in sorted(waves))
            self._tables.rollouts.put(rollout.id, rollout.model_copy(update={"waves": in_order}))

    def get(self, rollout_id: str) -> RolloutRecord:
        with self._tables.changes.turn:
            found = self._tables.rollouts.get(rollout_id)
        if found is None:
            raise no_rollout(rollout_id)
        return found

    def all(self, *states: RolloutPhase, changed_since_ms: int = 0) -> list[RolloutRecord]:
        with self._tables.changes.turn:
            recent = [r for r in self._tables.rollouts.by_key() if r.changed_ms >= changed_since_ms]
        return [rollout for rollout in recent if not states or rollout.state in states]

    def put_executions(self, executions: Iterable[ExecutionRecord]) -> None:
        with self._tables.changes.transaction():
            for execution in executions:
                self._tables.put_execution(execution)

    def executions(self, rollout_id: str) -> list[ExecutionRecord]:
        return sorted(self._of(rollout_id), key=lambda execution: (execution.wave, execution.device))

    def page_of_executions(self, rollout_id: str, *, after: str, at_most: int) -> list[ExecutionRecord]:
        found = sorted(self._of(rollout_id), key=lambda execution: execution.device)
        return [execution for execution in found if execution.device > after][:at_most]

    def _of(self, rollout_id: str) -> list[ExecutionRecord]:
        with self._tables.changes.turn:
            executions = self._tables.executions
            return executions.values_at(executions.where("rollout", rollout_id))

    def concerned(self, said: Sequence[Said]) -> dict[tuple[str, str], list[ExecutionRecord]]:
        found: dict[tuple[str, str], list[ExecutionRecord]] = {}
        with self._tables.changes.turn:
            for device, model, named in said:
                for execution in self._tables.executions_of(device):
                    if _may_move(execution, named) and self._brings(execution.rollout, model):
                        found.setdefault((device, model), []).append(execution)
        return found

    def _brings(self, rollout_id: str, model: str) -> bool:
        rollout = self._tables.rollouts.get(rollout_id)
        return rollout is not None and rollout.spec.model == model

    def counts(self, rollout_id: str) -> dict[int, dict[str, int]]:
        counts: dict[int, Counter[str]] = {}
        for execution in self._committed(rollout_id):
            counts.setdefault(execution.wave, Counter())[execution.phase] += 1
        return {wave: dict(counter) for wave, counter in sorted(counts.items())}

    def tallies(self, rollout_id: str) -> list[PhaseTally]:
        found = Counter((e.wave, e.phase, e.profile) for e in self._committed(rollout_id))
        return [PhaseTally(*key, devices) for key, devices in sorted(found.items())]

    def counts_back(self, rollout_id: str) -> dict[str, int]:
        return dict(Counter(e.back_phase for e in self._committed(rollout_id) if e.back_phase))

    def downloads(self, rollout_id: str) -> list[DownloadSoFar]:
        executions, devices = self._tables.changes.committed(self._tables.executions, self._tables.devices)
        found = []
        for (rollout, device), e in executions.items():
            if rollout == rollout_id and e.phase == "downloading" and e.transfer_total_bytes is not None:
                kbps = devices[device].reported.measured_kbps if device in devices else None
                so_far = (e.transfer_bytes or 0, e.transfer_total_bytes, e.transfer_s or 0.0)
                found.append(DownloadSoFar(e.wave, *so_far, e.reason is not None, kbps))
        return found

    def _committed(self, rollout_id: str) -> list[ExecutionRecord]:
        (executions,) = self._tables.changes.committed(self._tables.executions)
        return [execution for (rollout, _), execution in executions.items() if rollout == rollout_id]

    def returns(self, rollout_id: str) -> list[ReturnView]:
        found: dict[tuple[str | None, str | None], Counter[str]] = {}
        for e in self._committed(rollout_id):
            if e.back_phase and e.back_phase != "superseded":
                found.setdefault((e.back_variant, e.back_why), Counter())[e.back_phase] += 1
        return [
            ReturnView(variant=variant, why=why, devices=phases.total(), back=sum(phases[phase] for phase in ARRIVED))
            for (variant, why), phases in sorted(found.items(), key=lambda one: (one[0][0] or "", one[0][1] or ""))
        ]

    def committed_by(self, model: str, devices: Iterable[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        with self._tables.changes.turn:
            for device in devices:
                for e in reversed(self._tables.executions_of(device)):
                    if e.phase == "committed" and e.variant and self._brings(e.rollout, model):
                        found.setdefault(device, []).append(e.variant)
        return found

    def moved_on(self, rollout_id: str) -> dict[str, str]:
        found: dict[str, str] = {}
        with self._tables.changes.turn:
            of = self._tables.rollouts.get(rollout_id)
            keys = self._tables.executions.where("rollout", rollout_id) if of else []
            for mine in self._tables.executions.values_at(keys):
                for later in self._tables.executions_of(mine.device):
                    if later.rollout > rollout_id and of and self._brings(later.rollout, of.spec.model):
                        returned = later.is_back and later.back_variant == mine.variant
                        if later.phase == "committed" and not returned:
                            found[mine.device] = later.rollout
        return found

    def owners(self, model: str, devices: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        with self._tables.changes.turn:
            owning = {r.id for r in self._tables.rollouts.by_key() if r.state in IN_PROGRESS and r.spec.model == model}
            for device in devices:
                mine = (e.rollout for e in self._tables.executions_of(device) if not e.has_left)
                if owner := next((rollout for rollout in mine if rollout in owning), None):
                    found[device] = owner
        return found


class MemoryTouched(TouchedExecutions):
    """Notes taken with every change."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def of(self, rollout: str) -> list[ExecutionRecord]:
        found = self._tables.executions.values_at(self._tables.touched.where("rollout", rollout))
        return sorted(found, key=lambda execution: (execution.wave, execution.device))

    def clear(self, rollout: str) -> None:
        for key in self._tables.touched.where("rollout", rollout):
            self._tables.touched.pop(key)

    def rollouts(self) -> list[str]:
        return sorted({rollout for (rollout, _), _ in self._tables.touched.items()})


def _may_move(execution: ExecutionRecord, named: str | None) -> bool:
    on_its_way_back = execution.back_phase is not None and not execution.is_back
    concerned = execution.rollout == named or execution.phase not in ENDED or on_its_way_back
    return concerned and execution.removed_ms is None
