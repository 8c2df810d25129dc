"""How a rollout advances: pure rules that take facts and `now`, and return decisions."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgefleet_contract.counted import counted
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_contract.rollouts import ExecutionRecord, Judgement, RolloutPhase, WavePhase, WaveRecord
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts import judged, passed_over
from edgefleet_controller.rollouts.by_phase import Group, by_wave
from edgefleet_controller.rollouts.gate import judge
from edgefleet_controller.rollouts.hours import Hours
from edgefleet_controller.rollouts.starting import needed
from edgefleet_controller.rollouts.ways_back import words
from edgefleet_controller.windows import NO_WINDOWS, RegionWindows
from edgefleet_protocol.phases import DECIDED, ENDED, Phase


@dataclass(frozen=True)
class MoveRollout:
    """The rollout changes its state."""

    state: RolloutPhase
    reason: str


@dataclass(frozen=True)
class MoveWave:
    """A wave changes its state."""

    number: int
    state: WavePhase
    reason: str
    judgements: tuple[Judgement, ...] = ()


@dataclass(frozen=True)
class Stage:
    """Let a device fetch its variant and keep it ready."""

    execution: ExecutionRecord


@dataclass(frozen=True)
class Activate:
    """Let a device switch to its staged variant."""

    execution: ExecutionRecord


@dataclass(frozen=True)
class End:
    """Give up on a device whose time has run out."""

    execution: ExecutionRecord
    phase: Phase
    reason: str


@dataclass(frozen=True)
class Hold:
    """Withdraw the order to switch from a device that has not acted on it."""

    execution: ExecutionRecord


@dataclass(frozen=True)
class Return:
    """Let a device return to what it ran before, from its own disk."""

    execution: ExecutionRecord


Decision = MoveRollout | MoveWave | Stage | Activate | End | Hold | Return


ROLLED_BACK = "the rollout was rolled back"


def advance(
    rollout: RolloutRecord,
    executions: Sequence[ExecutionRecord],
    now_ms: int,
    judgements: Sequence[Judgement] = (),
    listening_since_ms: int | None = 0,
    windows: RegionWindows = NO_WINDOWS,
    measure: MeasureView = ACCURACY,
) -> list[Decision]:
    """The decisions of one tick for a rollout.

    One wave is active at a time; its state decides which rules apply. A paused rollout keeps its devices where they
    are; one that rolls back waits for every device that must return. No device is given up for silence while we were
    disconnected: `listening_since_ms` is since when we have been connected, None if we aren't. Outside its window, no
    device is told to fetch or to switch, and a wave's time does not run while one of its devices waits for that.
    `measure` is what the model's labelled answers are scored by.
    """
    if rollout.state == "paused":
        return [Hold(e) for e in executions if e.directive == "activate" and e.phase == "staged"]
    if rollout.state == "rolling_back":
        return _go_back(rollout, executions, now_ms)
    if rollout.state != "running":
        return []
    wave = next((w for w in rollout.waves if not w.is_over), None)
    if wave is None:
        return [_at_the_end(rollout.waves, executions, measure)]
    members, earlier = by_wave(executions, wave.number)
    hours = Hours(now_ms, windows)
    if wave.state == "pending":
        return _start(wave, members, hours)
    if wave.state in ("failed", "inconclusive"):
        reason = f"wave {wave.number} is {wave.state}: {wave.reason}"
        returns = wave.state == "failed" and rollout.spec.on_failure == "roll_back"
        return [MoveRollout("rolling_back" if returns else "paused", reason)]
    verdict = _judge(rollout, wave, members, earlier, judgements, hours, measure)
    if any(isinstance(d, MoveWave) and d.state in ("failed", "inconclusive", "skipped") for d in verdict):
        return verdict  # no more devices switch after this verdict
    expired = [*_expire(rollout, earlier, now_ms, listening_since_ms)]
    if of_wave := _expire(rollout, members, now_ms, listening_since_ms):
        expired += of_wave
        given_up = {d.execution.device for d in of_wave}
        # A device that this turn gives up must not be told to switch in the same turn.
        members = Group(e for e in members if e.device not in given_up)
    told: list[Decision] = [*_withdraw(earlier, hours), *_withdraw(members, hours), *_catch_up(earlier, hours)]
    return [*expired, *told, *_steer(rollout, wave, members, earlier, hours), *verdict]


def _at_the_end(
    waves: Sequence[WaveRecord], executions: Sequence[ExecutionRecord], measure: MeasureView
) -> MoveRollout:
    if all(wave.state == "skipped" for wave in waves) and (end := passed_over.end_at_once(executions)):
        return MoveRollout(*end)
    skipped = ", ".join(str(wave.number) for wave in waves if wave.state == "skipped")
    every = f"every wave passed but {skipped}, which had nothing to install" if skipped else "every wave passed"
    others = passed_over.words(executions)
    told = (every, f"not counted: {others}" if others else "", judged.not_judged(judged.in_all(waves), measure))
    return MoveRollout("completed", "; ".join(filter(None, told)))


def waits_for_room(execution: ExecutionRecord) -> bool:
    """Whether a device has no space for its variant; given up or not, it continues by itself once it has."""
    return execution.reason == "no_space" and execution.phase in ("notified", "rejected")


def must_return(execution: ExecutionRecord) -> bool:
    """Whether a device must be told to return: it was told something, and does not run what it should by itself."""
    if execution.removed_ms is not None:
        return False
    if execution.back_generation is not None:
        return True
    if execution.generation is None or execution.phase in ("superseded", "removed", "already_installed"):
        return False
    unharmed = execution.phase in ("rejected", "failed_no_change", "failed_rolled_back")
    return not unharmed or waits_for_room(execution) or execution.leads_elsewhere


def cancelled(execution: ExecutionRecord, why: str) -> ExecutionRecord:
    """An execution that its rollout does not pursue any more, unless it has ended already."""
    return execution if execution.phase in ENDED else execution.model_copy(update={"phase": "cancelled", "detail": why})


def _go_back(rollout: RolloutRecord, executions: Sequence[ExecutionRecord], now_ms: int) -> list[Decision]:
    """All affected devices return to what they ran before; offline ones find it in their desired state later."""
    affected = [e for e in executions if must_return(e)]
    never_told = (e for e in executions if e.removed_ms is None and e.phase not in ENDED and not must_return(e))
    returns: list[Decision] = [End(e, "cancelled", ROLLED_BACK) for e in never_told]
    returns += [Return(cancelled(e, ROLLED_BACK)) for e in affected if e.back_generation is None and not e.is_back]
    open_ones = [e for e in affected if not e.is_back]
    if not open_ones:
        reason = "; ".join(filter(None, (rollout.reason, words(executions)))) or "rolled back"
        return [*returns, MoveRollout("rolled_back", reason)]
    if (now_ms - rollout.changed_ms) / 1000 > rollout.spec.timers.return_s:
        names = ", ".join(e.device for e in open_ones[:20])
        more = f" and {len(open_ones) - 20} more" if len(open_ones) > 20 else ""
        return [*returns, MoveRollout("rollback_incomplete", f"{rollout.reason}; not back yet: {names}{more}")]
    return returns


def _start(wave: WaveRecord, members: Group, hours: Hours) -> list[Decision]:
    """Start staging: all devices of the wave fetch, none switches."""
    if nobody := passed_over.nobody_left(members):
        return [MoveWave(wave.number, nobody.outcome, nobody.reason)]
    assigned = members.inside("assigned")
    to_stage: list[Decision] = [Stage(e) for e in assigned if hours.may(e)]
    waiting = len(assigned) - len(to_stage)
    told = (f"{counted(len(to_stage), 'device')} to fetch", f"{waiting:,} to wait for a window" if waiting else "")
    return [MoveWave(wave.number, "staging", ", ".join(filter(None, (*told, passed_over.words(members))))), *to_stage]


def _expire(rollout: RolloutRecord, members: Group, now_ms: int, listening_since_ms: int | None) -> list[End]:
    """End what took too long: devices never heard are unreachable, silent ones time out, full ones are rejected.

    After we were disconnected, every device has `silent_s` to be heard again.
    """
    if listening_since_ms is None:
        return []
    timers = rollout.spec.timers
    listened_ms = now_ms - listening_since_ms
    decisions: list[End] = []
    given_up: set[str] = set()
    if listened_ms > timers.silent_s * 1000:
        before_ms = now_ms - timers.silent_s * 1000
        silent = [
            e
            for e in members.open
            if (e.heard_ms or 0) < before_ms
            and e.directed_ms is not None
            and e.directed_ms < before_ms
            and e.phase != "assigned"
        ]
        decisions += [End(e, "timed_out", f"silent for {timers.silent_s:.0f} s in {e.phase}") for e in silent]
        given_up = {e.device for e in silent}
    if listened_ms > min(timers.unreachable_s, timers.silent_s) * 1000:
        before_ms = now_ms - timers.unreachable_s * 1000
        reason = f"not heard for {timers.unreachable_s:.0f} s"
        unheard = (e for e in members.inside("assigned") if e.directed_ms is not None and e.directed_ms < before_ms)
        decisions += [End(e, "unreachable", reason) for e in unheard]
    for e in members.inside("notified"):
        if waits_for_room(e) and e.device not in given_up and now_ms - e.changed_ms > timers.space_s * 1000:
            decisions.append(End(e, "rejected", f"{e.detail}; waited {timers.space_s:.0f} s for space"))
    return decisions


def _withdraw(members: Group, hours: Hours) -> list[Hold]:
    """Withdraw the order to switch once the window has closed, from agents that would not wait by themselves."""
    told = (e for e in members.inside("staged") if e.directive == "activate" and not e.keeps_windows)
    return [Hold(e) for e in told if not hours.may(e)]


def _catch_up(earlier: Group, hours: Hours) -> list[Activate]:
    """Devices that become ready only after their wave has passed switch now."""
    return [Activate(e) for e in earlier.inside("staged") if e.directive == "stage" and hours.may(e)]


def _steer(
    rollout: RolloutRecord,
    wave: WaveRecord,
    members: Group,
    earlier: Group,
    hours: Hours,
) -> list[Decision]:
    """Advance the wave: once enough have staged they switch, few at first, more with every success."""
    timers = rollout.spec.timers
    under_way = members.open
    if late := [e for e in members.inside("assigned") if e.directive == "none" and hours.may(e)]:
        return [Stage(e) for e in late]
    waited_s = hours.running_s(members, wave.since_ms, ("fetch",))
    if wave.state == "staging":
        # A full device may stay full for long: the others need not wait for it.
        staged = members.count("staged")
        waiting = sum(waits_for_room(e) for e in members.inside("notified"))
        enough = needed(rollout.spec.start_share, len(under_way))
        if staged + waiting >= enough or waited_s > timers.staging_s:
            behind = len(under_way) - staged
            told = f"{counted(staged, 'device')} ready to switch" + (f", {behind:,} to follow" if behind else "")
            return [MoveWave(wave.number, "activating", told)]
        return []
    if wave.state == "activating" and not under_way:
        return [MoveWave(wave.number, "soaking", "every device has decided")]
    committed = earlier.count("committed") + members.count("committed")
    switching = sum(e.directive == "activate" and hours.may(e) for e in under_way)
    room = max(rollout.spec.concurrency, committed) - switching
    ready = [e for e in members.inside("staged") if e.directive == "stage" and hours.may(e)]
    return [Activate(e) for e in ready[: max(room, 0)]]


def _judge(
    rollout: RolloutRecord,
    wave: WaveRecord,
    members: Group,
    earlier: Group,
    judgements: Sequence[Judgement],
    hours: Hours,
    measure: MeasureView,
) -> list[Decision]:
    started_ms = wave.started_ms if wave.started_ms is not None else wave.since_ms
    past_deadline = hours.running_s(members, started_ms) > rollout.spec.timers.wave_s
    soaked_s = (hours.now_ms - wave.since_ms) / 1000 if wave.state == "soaking" else None
    if past_deadline and soaked_s is None and members.count(*DECIDED):
        return [MoveWave(wave.number, "soaking", "its time is up; the rest follow later")]
    gate = rollout.spec.gate
    verdict = judge(gate, members, earlier, judgements, measure, soaked_s=soaked_s, past_deadline=past_deadline)
    if verdict.outcome == "wait":
        return []
    return [MoveWave(wave.number, verdict.outcome, verdict.reason, tuple(judgements))]


def after_report_of_return(
    execution: ExecutionRecord, phase: Phase, reason: str | None, now_ms: int
) -> ExecutionRecord:
    """An execution after its device reported on its rollback."""
    return execution.model_copy(update={"back_phase": phase, "back_reason": reason, "heard_ms": now_ms})


def after_report(
    execution: ExecutionRecord, phase: Phase, reason: str | None, detail: str | None, now_ms: int
) -> ExecutionRecord:
    """An execution after its device reported on the attempt at the same generation.

    A device's own report always wins: if it was given up as silent, unreachable or full and comes back, its report
    moves the execution. Only an execution that its device has ended never moves again.
    """
    heard = execution.model_copy(update={"heard_ms": now_ms})
    given_up = execution.phase in ("timed_out", "unreachable") or waits_for_room(execution)
    still_waits = waits_for_room(execution) and reason == execution.reason
    nothing_new = (phase, reason) == (execution.phase, execution.reason)
    if (execution.phase in ENDED and not given_up) or still_waits or nothing_new:
        return heard
    changes = {"phase": phase, "reason": reason, "detail": detail, "changed_ms": now_ms}
    return heard.model_copy(update=changes)
