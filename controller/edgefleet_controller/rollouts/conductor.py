"""The conductor: at each tick, facts from the store, decisions by the rules, carried out."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Literal

from prometheus_client import Histogram

from edgefleet_controller.failpoints import reach
from edgefleet_controller.ids import now_ms
from edgefleet_controller.records import ExecutionRecord, RolloutPhase, RolloutRecord, WavePhase
from edgefleet_controller.rollouts import orders
from edgefleet_controller.rollouts.behaviour import Finding, examine
from edgefleet_controller.rollouts.directions import Directions
from edgefleet_controller.rollouts.hearing import Hearing
from edgefleet_controller.rollouts.rollout import (
    Activate,
    Decision,
    End,
    Hold,
    MoveRollout,
    MoveWave,
    Return,
    Stage,
    advance,
)
from edgefleet_controller.store import Store
from edgefleet_controller.store.evidence import Compared

log = logging.getLogger(__name__)

Tell = Callable[[Sequence[str]], None]
Joiners = Callable[[RolloutRecord, Sequence[ExecutionRecord]], list[ExecutionRecord]]
ACTIVE: tuple[RolloutPhase, ...] = ("running", "paused", "rolling_back")
JOIN_EVERY_MS = 2000
TICK_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Conductor:
    """One thread that moves every rollout along; operators' orders take turns with it.

    What is read, decided and written in one turn is one transaction: an order never gets lost under a tick.
    `connected` says whether the broker is there: while it is not, no device is given up as silent.
    """

    def __init__(
        self,
        store: Store,
        tell: Tell,
        joiners: Joiners,
        *,
        tick_s: float,
        each_tick: Callable[[], None],
        connected: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._tell = tell
        self._joiners = joiners
        self._directions = Directions(store)
        self._looked: dict[str, int] = {}
        self._tick_s = tick_s
        self._each_tick = each_tick
        self._connected = connected
        self._hearing = Hearing()
        self._listening_since_ms: int | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="conductor")
        self.tick_seconds = Histogram(
            "edgefleet_tick_seconds", "One look at every rollout under way.", buckets=TICK_BUCKETS_S, registry=None
        )

    def start(self) -> None:
        """Start ticking."""
        self._thread.start()

    def stop(self) -> None:
        """End within the current tick."""
        self._stopped.set()
        self._thread.join()

    def order(self, verb: Literal["pause", "resume", "abort", "rollback"], rollout_id: str) -> list[str]:
        """Carry out an operator's order; the manifests whose delivery it ends.

        Raises:
            NotFound: there is no such rollout.
            Refused: not in the state that the rollout is in.
        """
        now = now_ms()
        with self._store.rollouts.transaction():
            rollout = self._store.rollouts.get(rollout_id)
            executions = self._store.rollouts.executions(rollout_id)
            decisions = orders.decide(verb, rollout, executions)
            to_tell = self._carry_out(rollout, decisions, now)
            reach("order_written", verb)
        reach("order_committed", verb)
        self._tell(to_tell)
        reach("order_told", verb)
        return sorted({e.manifest for e in executions if e.manifest}) if verb == "abort" else []

    def halt(self, rollout_id: str, reason: str) -> None:
        """Pause a rollout that cannot go on, for a reason of the controller's own."""
        with self._store.rollouts.transaction():
            rollout = self._store.rollouts.get(rollout_id)
            if rollout.state == "running":
                self._carry_out(rollout, [MoveRollout("paused", reason)], now_ms())

    def tick(self, now: int) -> None:
        """Move every rollout that is under way by one step; a fault in one does not hold up the others."""
        reach("tick_begun")
        self._listening_since_ms = self._hearing.at(now, self._connected())
        for rollout in self._store.rollouts.all(*ACTIVE):
            try:
                self._move(rollout.id, now)
            except Exception:
                # The next tick reads everything anew from the store.
                log.exception("rollout %s could not be moved", rollout.id)

    def _move(self, rollout_id: str, now: int) -> None:
        to_tell: list[str] = []
        with self._store.rollouts.transaction():
            reach("turn_begun")
            rollout = self._store.rollouts.get(rollout_id)
            executions = self._store.rollouts.executions(rollout_id)
            executions += self._joined(rollout, executions, now)
            findings = self._findings(rollout, executions)
            decisions = advance(rollout, executions, now, findings, self._listening_since_ms)
            if decisions:
                reach("decided")
                to_tell = self._carry_out(rollout, decisions, now)
                reach("turn_written")
        if decisions:
            reach("turn_committed")
            self._tell(to_tell)
            reach("turn_told")

    def _run(self) -> None:
        while not self._stopped.wait(self._tick_s):
            try:
                self._each_tick()
                with self.tick_seconds.time():
                    self.tick(now_ms())
            except Exception:
                log.exception("a tick failed")

    def _joined(self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord], now: int) -> list[ExecutionRecord]:
        """Devices that have appeared; looking at the whole fleet for them need not be done at every tick."""
        if rollout.state != "running" or now - self._looked.get(rollout.id, 0) < JOIN_EVERY_MS:
            return []
        self._looked[rollout.id] = now
        joined = self._joiners(rollout, executions)
        self._store.rollouts.put_executions(joined)
        if joined:
            reach("joined")
        return joined

    def _findings(self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord]) -> list[Finding]:
        """How the new variant behaves on the profiles where it answers."""
        if rollout.state != "running" or not any(w.state in ("activating", "soaking") for w in rollout.waves):
            return []
        compared = _compared([e for e in executions if e.exposed])
        evidence = self._store.evidence.of(rollout.spec.model, compared, rollout.created_ms)
        return [finding for of_profile in evidence for finding in examine(rollout.spec.gate, of_profile)]

    def _carry_out(self, rollout: RolloutRecord, decisions: Sequence[Decision], now: int) -> list[str]:
        """Write down every decision of a turn; the devices to tell. A kill before they are told costs a heartbeat."""
        to_tell: list[str] = []
        for decision in decisions:
            match decision:
                case MoveRollout(state, reason):
                    rollout = rollout.model_copy(update={"state": state, "reason": reason, "changed_ms": now})
                    self._store.rollouts.note(now, f"rollout {state}", rollout.id, reason)
                case MoveWave(number, state, reason, evidence):
                    rollout = _with_wave(rollout, number, state, reason, evidence, now)
                    self._store.rollouts.note(now, f"wave {number} {state}", rollout.id, reason)
                case Stage(execution):
                    self._directions.stage(rollout, execution, now)
                    to_tell.append(execution.device)
                case Activate(execution):
                    self._directions.activate(rollout, execution, now)
                    to_tell.append(execution.device)
                case Hold(execution):
                    self._directions.hold(rollout, execution, now)
                    to_tell.append(execution.device)
                case Return(execution):
                    self._directions.send_back(rollout, execution, now)
                    to_tell.append(execution.device)
                case End(execution, phase, reason):
                    changes = {"phase": phase, "detail": reason, "changed_ms": now}
                    self._store.rollouts.put_executions([execution.model_copy(update=changes)])
            reach("carried_out", type(decision).__name__)
        self._store.rollouts.put(rollout)
        return to_tell


def _compared(exposed: Sequence[ExecutionRecord]) -> dict[str, Compared]:
    """By profile, the new variant, what its devices ran before, and which devices have switched."""
    compared: dict[str, Compared] = {}
    for execution in exposed:
        if execution.variant is None:
            continue
        known = compared.get(execution.profile, Compared(execution.variant, frozenset(), frozenset()))
        before = known.before | ({execution.previous_variant} if execution.previous_variant else set())
        compared[execution.profile] = Compared(
            execution.variant, before - {execution.variant}, known.exposed | {execution.device}
        )
    return compared


def _with_wave(
    rollout: RolloutRecord, number: int, state: WavePhase, reason: str, evidence: tuple[str, ...], now: int
) -> RolloutRecord:
    changes = {"state": state, "reason": reason, "evidence": evidence, "since_ms": now}
    waves = tuple(
        wave.model_copy(update={**changes, "started_ms": wave.started_ms if wave.started_ms is not None else now})
        if wave.number == number
        else wave
        for wave in rollout.waves
    )
    return rollout.model_copy(update={"waves": waves, "changed_ms": now})
