"""The conductor: at each tick, facts from the store, decisions by the rules, carried out."""

import logging
import threading
from collections.abc import Callable

from edgefleet_controller.ids import now_ms
from edgefleet_controller.records import DesiredRecord, ExecutionRecord, RolloutRecord
from edgefleet_controller.rollout import Activate, Decision, End, MoveRollout, MoveWave, Stage, advance
from edgefleet_controller.store import Store
from edgefleet_controller.voice import Voice

log = logging.getLogger(__name__)


class Conductor:
    """One thread that moves every running rollout along."""

    def __init__(self, store: Store, voice: Voice, *, tick_s: float, each_tick: Callable[[], None]) -> None:
        self._store = store
        self._voice = voice
        self._tick_s = tick_s
        self._each_tick = each_tick
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="conductor")

    def start(self) -> None:
        """Start ticking."""
        self._thread.start()

    def stop(self) -> None:
        """End within the current tick."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._tick_s):
            try:
                self._each_tick()
                self.tick(now_ms())
            except Exception:
                # The next tick reads everything anew from the store.
                log.exception("a tick failed")

    def tick(self, now: int) -> None:
        """Move every running rollout by one step."""
        for rollout in self._store.rollouts.all("running"):
            executions = self._store.rollouts.executions(rollout.id)
            decisions = advance(rollout, executions, now)
            if decisions:
                self._carry_out(rollout, decisions, now)

    def _carry_out(self, rollout: RolloutRecord, decisions: list[Decision], now: int) -> None:
        """Commit every decision of a tick together, then tell the devices; a kill in between costs a heartbeat."""
        to_tell: list[str] = []
        with self._store.rollouts.transaction():
            for decision in decisions:
                match decision:
                    case MoveRollout(state, reason):
                        rollout = rollout.model_copy(update={"state": state, "reason": reason, "changed_ms": now})
                        self._store.rollouts.note(now, f"rollout {state}", rollout.id, reason)
                    case MoveWave(number, state, reason):
                        rollout = _with_wave(rollout, number, state, reason, now)
                        self._store.rollouts.note(now, f"wave {number} {state}", rollout.id, reason)
                    case Stage(execution) | Activate(execution):
                        self._direct(rollout, execution, activate=isinstance(decision, Activate), now=now)
                        to_tell.append(execution.device)
                    case End(execution, phase, reason):
                        changes = {"phase": phase, "detail": reason, "changed_ms": now}
                        self._store.rollouts.put_executions([execution.model_copy(update=changes)])
            self._store.rollouts.put(rollout)
        self._voice.desire(to_tell)

    def _direct(self, rollout: RolloutRecord, execution: ExecutionRecord, *, activate: bool, now: int) -> None:
        """Change what a device should run; every new direction but the switch itself is a new generation."""
        model = rollout.spec.model
        generation = execution.generation or self._next_generation(execution.device, model)
        self._store.devices.put_desired(
            DesiredRecord(
                device=execution.device,
                model=model,
                generation=generation,
                manifest=execution.manifest,
                manifest_bytes=execution.manifest_bytes,
                rollout=rollout.id,
                activate=activate,
                trial_s=rollout.spec.timers.trial_s,
            )
        )
        changes = {
            "generation": generation,
            "directive": "activate" if activate else "stage",
            "directed_ms": now,
            "changed_ms": now,
        }
        self._store.rollouts.put_executions([execution.model_copy(update=changes)])

    def _next_generation(self, device: str, model: str) -> int:
        """One more than what we gave or the device has: after a restore the device may be ahead."""
        given = [d.generation for d in self._store.devices.desired(device) if d.model == model]
        known = self._store.devices.find(device)
        reported = known.reported.models.get(model) if known else None
        return max([0, *given, reported.generation if reported else 0]) + 1


def _with_wave(rollout: RolloutRecord, number: int, state: str, reason: str, now: int) -> RolloutRecord:
    waves = tuple(
        wave.model_copy(
            update={
                "state": state,
                "reason": reason,
                "since_ms": now,
                "started_ms": wave.started_ms if wave.started_ms is not None else now,
            }
        )
        if wave.number == number
        else wave
        for wave in rollout.waves
    )
    return rollout.model_copy(update={"waves": waves, "changed_ms": now})
