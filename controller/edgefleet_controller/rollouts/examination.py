"""Examines what the devices of a rollout measure: gathers evidence, and lets the rules judge it."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from edgefleet_contract.rollouts import ExecutionRecord, Judgement
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.behaviour import examine
from edgefleet_controller.rollouts.weighing import Crowd
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.evidence import Compared, Gathering, Switched
from edgefleet_controller.store.measures import ModelMeasures, measures_in
from edgefleet_protocol.phases import ENDED, ENDED_OTHERWISE

CHEAP_S = 0.05
SHARE = 20
"""A look that takes longer than `CHEAP_S` is not repeated until so many times as long has passed."""


@dataclass
class _Look:
    """What the last look found, and when the next one is due."""

    gathering: Gathering
    measures: ModelMeasures
    judgements: Sequence[Judgement] = ()
    committed: int = 0
    due_s: float = 0.0


class Examinations:
    """The evidence for the rollouts that are under way or watched, in memory, and what was made of it.

    Args:
        store: read only.
        monotonic_s: the monotonic clock, in seconds.
    """

    def __init__(self, store: Store, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._store, self._monotonic_s = store, monotonic_s
        self._looks: dict[str, _Look] = {}

    def keep_only(self, rollouts: Collection[str]) -> None:
        """Drop the evidence for all other rollouts."""
        for rollout in self._looks.keys() - set(rollouts):
            del self._looks[rollout]

    def begin_anew(self) -> None:
        """Gather all evidence again, since some of it no longer counts."""
        self._looks.clear()

    def judgements(
        self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord], through_wave: int
    ) -> Sequence[Judgement]:
        """What is made of the evidence so far, profile by profile.

        Args:
            rollout: the rollout.
            executions: all of its executions.
            through_wave: the wave that is under way, whose devices and those of earlier ones may give evidence.
        """
        # What a removed device measured was gathered before, and counts no longer, also if the device has come back.
        executions = [e for e in executions if e.removed_ms is None]
        exposed = [e for e in executions if e.exposed and e.generation is not None]
        if not exposed:
            return ()
        if (look := self._looks.get(rollout.id)) is None:
            since_ms = min(e.directed_ms or rollout.created_ms for e in exposed)
            gathering = self._store.telemetry.evidence.gather(rollout.spec.model, since_ms)
            look = _Look(gathering, measures_in(self._store.fleet.registry, rollout.spec.model, rollout.spec.version))
            self._looks[rollout.id] = look
        began_s, committed = self._monotonic_s(), sum(e.phase == "committed" for e in exposed)
        if began_s >= look.due_s or committed != look.committed:
            standings = self._store.fleet.devices.standings(e.device for e in executions)
            incarnations = {device: known.incarnation for device, known in standings.items()}
            pairs = compared(executions, incarnations)
            evidence = [look.measures.of(one, pairs[one.profile]) for one in look.gathering.of(pairs)]
            in_conflict = frozenset(device for device, known in standings.items() if known.in_conflict)
            crowds = reached(executions, through_wave, in_conflict)
            gate = rollout.spec.gate
            look.judgements = [j for one in evidence for j in examine(gate, one, crowds[one.profile])]
            took_s = self._monotonic_s() - began_s
            look.committed, look.due_s = committed, began_s + (took_s * SHARE if took_s > CHEAP_S else 0)
        return look.judgements


def reached(
    executions: Sequence[ExecutionRecord], through_wave: int, in_conflict: Collection[str] = ()
) -> dict[str, Crowd]:
    """By profile, how many devices a rollout has reached with a wave: those that may yet give evidence, and all.

    Args:
        executions: of devices that have not been removed.
        through_wave: the last wave that counts.
        in_conflict: devices whose windows do not count, as two agents report under their id.
    """
    of_waves = [e for e in executions if e.wave <= through_wave and e.phase not in ENDED_OTHERWISE]
    able: dict[str, int] = {}
    for execution in of_waves:
        gives = execution.phase not in ENDED - {"committed"} and execution.device not in in_conflict
        able[execution.profile] = able.get(execution.profile, 0) + gives
    return {profile: Crowd(count, len(of_waves)) for profile, count in able.items()}


def compared(executions: Sequence[ExecutionRecord], incarnations: Mapping[str, str | None]) -> dict[str, Compared]:
    """By profile with devices that were told to switch: the rollout's variant, what ran before, and its devices."""
    by_profile: dict[str, list[ExecutionRecord]] = {}
    for execution in executions:
        by_profile.setdefault(execution.profile, []).append(execution)
    found: dict[str, Compared] = {}
    for profile, members in by_profile.items():
        exposed = [e for e in members if e.exposed and e.variant is not None and e.phase not in ENDED_OTHERWISE]
        if not exposed:
            continue
        new = exposed[-1].variant or ""
        found[profile] = Compared(
            new=new,
            before=frozenset({e.previous_variant for e in exposed if e.previous_variant} - {new}),
            switched={
                e.device: Switched(incarnations.get(e.device) or "", e.generation or 0, e.phase == "committed")
                for e in exposed
            },
            waiting={e.device: incarnations.get(e.device) or "" for e in members if not e.exposed},
        )
    return found
