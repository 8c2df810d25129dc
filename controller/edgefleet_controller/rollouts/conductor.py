"""The conductor: at each tick, reads facts from the store, lets the rules decide, and carries out the decisions."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import Histogram

from edgefleet_contract.rollouts import ExecutionRecord, Judgement, RolloutPhase, WaveRecord
from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import NotFound, Refused
from edgefleet_controller.failpoints import reach
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts import judged, orders
from edgefleet_controller.rollouts.directions import Directions
from edgefleet_controller.rollouts.examination import Examinations
from edgefleet_controller.rollouts.launch import refuse_owned
from edgefleet_controller.rollouts.own_silence import OwnSilence
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
from edgefleet_controller.rollouts.verdicts import verdicts
from edgefleet_controller.rollouts.watch import CompletedWatch
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.rollouts import IN_PROGRESS
from edgefleet_controller.store.measures import measure_of
from edgefleet_controller.trouble import log_failure
from edgefleet_controller.windows import NO_WINDOWS, RegionWindows

log = logging.getLogger(__name__)

Tell = Callable[[Sequence[str]], None]
ACTIVE: tuple[RolloutPhase, ...] = ("running", "paused", "rolling_back")
DECISIONS_PER_TICK = 250
"""Keeps ticks short for any fleet, and messages to the broker few enough at a time."""
MORE_S = 0.1
"""How long a tick waits for the next if it has not decided everything: who is told together can be served together."""
TICK_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Joiners(Protocol):
    """Finds devices that have appeared since a rollout's start."""

    def look(self, rollout: RolloutRecord) -> list[ExecutionRecord]:
        """Executions for devices that have appeared since the last look."""

    def drop(self, rollout: str) -> None:
        """Look at the whole fleet next time, as what was found was not stored."""


class Conductor:
    """One thread that advances all rollouts; operators' orders take turns with it.

    Each turn reads, decides and writes in one transaction, so that a tick never overwrites an order. `connected` says
    whether the broker is connected; while it isn't, no device is given up as silent. The executions of active rollouts
    and the evidence collected for them stay in memory, so that a tick costs only what has changed.
    """

    def __init__(
        self,
        store: Store,
        tell: Tell,
        joiners: Joiners,
        *,
        tick_s: float,
        connected: Callable[[], bool] = lambda: True,
        windows: RegionWindows = NO_WINDOWS,
    ) -> None:
        self._store = store
        self._tell = tell
        self._joiners = joiners
        self._directions = Directions(store.fleet)
        self._examinations = Examinations(store)
        self._watch = CompletedWatch(store.fleet, self._examinations)
        self._in_conflict: frozenset[str] = frozenset()
        self._tick_s = tick_s
        self._before_tick: Sequence[Callable[[], None]] = ()
        self._connected = connected
        self._windows = windows
        self._own_silence = OwnSilence()
        self._listening_since_ms: int | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="conductor")
        self.tick_seconds = Histogram(
            "edgefleet_tick_seconds", "Duration of one conductor tick.", buckets=TICK_BUCKETS_S, registry=None
        )

    def start(self, before_tick: Sequence[Callable[[], None]] = ()) -> None:
        """Start ticking.

        Args:
            before_tick: called before each tick; if one of them fails, the tick is skipped.
        """
        self._before_tick = before_tick
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current tick."""
        self._stopped.set()
        self._thread.join()

    def order(self, verb: orders.Verb, rollout_id: str) -> list[str]:
        """Carry out an operator's order; returns the manifests that must no longer be delivered.

        Raises:
            NotFound: the rollout doesn't exist.
            Refused: the rollout's state does not allow the order, or another rollout owns its devices by now.
        """
        now = now_ms()
        with self._turn(rollout_id):
            rollout = self._store.fleet.rollouts.get(rollout_id)
            executions = self._store.fleet.rollouts.live.of(rollout_id)
            decisions = orders.decide(verb, rollout, executions)
            if rollout.state not in IN_PROGRESS:  # its devices were free, and another rollout may own them now
                mine = [e.device for e in executions if not e.has_left]
                refuse_owned(self._store.fleet, rollout.spec.model, mine)
            to_tell = self._carry_out(rollout, executions, decisions, now)
            reach("order_written", verb)
        reach("order_committed", verb)
        self._tell(to_tell)
        reach("order_told", verb)
        return sorted({e.manifest for e in executions if e.manifest}) if verb == "abort" else []

    def halt(self, rollout_id: str, reason: str) -> None:
        """Pause a rollout that cannot continue, for a reason that the controller found."""
        with self._turn(rollout_id):
            rollout = self._store.fleet.rollouts.get(rollout_id)
            if rollout.state == "running":
                self._carry_out(rollout, [], [MoveRollout("paused", reason)], now_ms())

    def tick(self, now: int) -> bool:
        """Advance every active rollout by one step; a failure in one does not hold up the others.

        Returns:
            Whether more was to be decided than one tick may.
        """
        reach("tick_begun")
        was_deaf = self._listening_since_ms is None
        self._listening_since_ms = self._own_silence.at(now, self._connected())
        with self._store.fleet.transaction():
            active = self._store.fleet.rollouts.all(*ACTIVE)
            ids = {rollout.id for rollout in active}
            self._forget_all_but(ids | self._watch.regard(ids, now))
            self._regard_conflicts()
        if was_deaf and self._listening_since_ms is not None:
            self._hold_again(rollout.id for rollout in active if rollout.state == "paused")
        more = False
        for rollout in active:
            try:
                more |= self._move(rollout, now, max(1, DECISIONS_PER_TICK // len(active)))
            except Exception as error:
                # The next tick reads everything from the store again.
                log_failure(log, error, f"rollout {rollout.id} could not be moved")
        self._watch.tick(now)
        return more

    def _hold_again(self, paused: Iterable[str]) -> None:
        """Tell devices again that a pause withdrew their order to switch, in case we were killed before telling them.

        Anything else left untold heals by itself, because the device's report shows an older generation.
        """
        for rollout_id in paused:
            executions = self._store.fleet.rollouts.live.of(rollout_id)
            self._tell([e.device for e in executions if e.directive == "stage" and e.phase == "staged"])

    def _move(self, rollout: RolloutRecord, now: int, at_most: int) -> bool:
        to_tell: list[str] = []
        judgements = self._judgements(rollout)
        rollout_id = rollout.id
        with self._turn(rollout_id):
            reach("turn_begun")
            rollout = self._store.fleet.rollouts.get(rollout_id)
            executions = self._store.fleet.rollouts.live.of(rollout_id)
            executions += self._joined(rollout)
            measure = measure_of(self._store.fleet.registry, rollout.spec.model, rollout.spec.version)
            every = advance(rollout, executions, now, judgements, self._listening_since_ms, self._windows, measure)
            decisions = every[:at_most]
            if decisions:
                reach("decided")
                to_tell = self._carry_out(rollout, executions, decisions, now)
                reach("turn_written")
        if decisions:
            reach("turn_committed")
            self._tell(to_tell)
            reach("turn_told")
        return len(every) > len(decisions)

    @contextmanager
    def _turn(self, rollout_id: str) -> Iterator[None]:
        """One transaction; if it fails, what is cached of the rollout is dropped, too."""
        try:
            with self._store.fleet.transaction():
                yield
        except (NotFound, Refused):
            raise  # raised before anything was written
        except BaseException:
            self._store.fleet.rollouts.live.drop(rollout_id)
            self._joiners.drop(rollout_id)
            raise

    def _forget_all_but(self, looked_at: Set[str]) -> None:
        self._store.fleet.rollouts.live.keep_only(looked_at)
        self._examinations.keep_only(looked_at)

    def _regard_conflicts(self) -> None:
        """Collect evidence again after a new conflict, since what the device measured no longer counts."""
        if self._store.fleet.follow_ups.all():
            return  # the telemetry store has yet to follow: wait for the next tick
        in_conflict = frozenset(self._store.fleet.conflicts.all())
        if in_conflict - self._in_conflict:
            self._examinations.begin_anew()
        self._in_conflict = in_conflict

    def _run(self) -> None:
        more = False
        while not self._stopped.wait(min(self._tick_s, MORE_S) if more else self._tick_s):
            more = False
            try:
                for chore in self._before_tick:
                    chore()
                with self.tick_seconds.time():
                    more = self.tick(now_ms())
            except Exception as error:
                log_failure(log, error, "a tick failed")

    def _joined(self, rollout: RolloutRecord) -> list[ExecutionRecord]:
        """Executions of devices that have appeared."""
        if rollout.state != "running":
            return []
        joined = self._joiners.look(rollout)
        self._store.fleet.rollouts.put_executions(joined)
        if joined:
            reach("joined")
        return joined

    def _judgements(self, rollout: RolloutRecord) -> Sequence[Judgement]:
        """How the new variant behaves, by profile; read before the turn, so that nothing waits for it."""
        judging = [wave.number for wave in rollout.waves if wave.state in ("activating", "soaking")]
        if rollout.state != "running" or not judging:
            return ()
        return self._examinations.judgements(rollout, self._store.fleet.rollouts.live.of(rollout.id), judging[0])

    def _carry_out(
        self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord], decisions: Sequence[Decision], now: int
    ) -> list[str]:
        """Store the decisions of a turn; returns the devices to tell. A kill before that costs a heartbeat."""
        moved = rollout
        by_kind: dict[type[Decision], list[Decision]] = {}
        for decision in decisions:
            by_kind.setdefault(type(decision), []).append(decision)
            moved = self._moved(moved, decision, now)
        for kind, alike in by_kind.items():
            self._direct(rollout, alike, now)
            reach("carried_out", kind.__name__)
        self._store.fleet.verdicts.put(*verdicts(rollout, executions, decisions, now))
        self._store.fleet.rollouts.put(moved)
        return [d.execution.device for d in decisions if isinstance(d, Stage | Activate | Hold | Return)]

    def _moved(self, rollout: RolloutRecord, decision: Decision, now: int) -> RolloutRecord:
        """The rollout after a decision that moves it or one of its waves; the move is recorded in the audit trail."""
        match decision:
            case MoveRollout(state, reason):
                rollout = rollout.model_copy(update={"state": state, "reason": reason, "changed_ms": now})
                self._store.fleet.audit.note(now, f"rollout {state}", rollout.id, reason)
            case MoveWave(number, state, reason):
                rollout = _with_wave(rollout, decision, now)
                self._store.fleet.audit.note(now, f"wave {number} {state}", rollout.id, reason)
        return rollout

    def _direct(self, rollout: RolloutRecord, alike: Sequence[Decision], now: int) -> None:
        """Store decisions of one kind about devices."""
        directions = self._directions
        match alike[0]:
            case Stage():
                directions.stage(rollout, [d.execution for d in alike if isinstance(d, Stage)], now)
            case Activate():
                directions.activate(rollout, [d.execution for d in alike if isinstance(d, Activate)], now)
            case Hold():
                directions.hold(rollout, [d.execution for d in alike if isinstance(d, Hold)], now)
            case Return():
                directions.send_back(rollout, [d.execution for d in alike if isinstance(d, Return)], now)
            case End():
                self._store.fleet.rollouts.put_executions(_ended(d, now) for d in alike if isinstance(d, End))


def _ended(decision: End, now: int) -> ExecutionRecord:
    changes = {"phase": decision.phase, "detail": decision.reason, "changed_ms": now}
    return decision.execution.model_copy(update=changes)


def _moved_wave(wave: WaveRecord, move: MoveWave, now: int) -> WaveRecord:
    changes: dict[str, object] = {"state": move.state, "reason": move.reason, "since_ms": now}
    changes["started_ms"] = wave.started_ms if wave.started_ms is not None else now
    if move.judgements != wave.judgements:  # else nothing was judged anew; of a wave of 0.1.0 only the words are kept
        changes |= {"judgements": move.judgements, "evidence": judged.evidence(move.judgements)}
    return wave.model_copy(update=changes)


def _with_wave(rollout: RolloutRecord, move: MoveWave, now: int) -> RolloutRecord:
    waves = tuple(_moved_wave(wave, move, now) if wave.number == move.number else wave for wave in rollout.waves)
    return rollout.model_copy(update={"waves": waves, "changed_ms": now})
