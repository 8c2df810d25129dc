"""Whether a wave passes: pure rules over decided devices and judgements of behaviour."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from edgefleet_contract.counted import counted
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_contract.rollouts import ExecutionRecord, Gate, Judgement
from edgefleet_controller.rollouts import judged, passed_over
from edgefleet_controller.rollouts.by_phase import Group
from edgefleet_controller.rollouts.weighing import MANY
from edgefleet_protocol.phases import DECIDED, ENDED_OTHERWISE, FAILED

# Sequential probability ratio test (Wald 1945) of "1 % of devices fail" against "5 %", alpha 0.05, beta 0.10.
_P_GOOD, _P_BAD = 0.01, 0.05
_REJECT = math.log((1 - 0.10) / 0.05)
_MIN_FOR_TEST = 5


@dataclass(frozen=True)
class WaveVerdict:
    """The gate's verdict and its reason; `wait` until more is known."""

    outcome: Literal["wait", "passed", "skipped", "failed", "inconclusive"]
    reason: str


def sequential_test_rejects(failed: int, decided: int) -> bool:
    """Whether this many failures among this many decided devices rule out a good variant."""
    if decided < _MIN_FOR_TEST:
        return False
    good = decided - failed
    evidence = failed * math.log(_P_BAD / _P_GOOD) + good * math.log((1 - _P_BAD) / (1 - _P_GOOD))
    return evidence >= _REJECT


def judge(
    gate: Gate,
    wave: Collection[ExecutionRecord],
    earlier: Collection[ExecutionRecord],
    judgements: Sequence[Judgement] = (),
    measure: MeasureView = ACCURACY,
    *,
    soaked_s: float | None,
    past_deadline: bool,
) -> WaveVerdict:
    """Judge a wave; the first rule that matches wins.

    Args:
        gate: the thresholds.
        wave: the executions of this wave.
        earlier: the executions of earlier waves, which the sequential test counts too.
        judgements: how the new variant behaves on devices that answer with it.
        measure: what labelled answers are scored by.
        soaked_s: seconds since the wave began to soak; None before that.
        past_deadline: whether the wave's time is up.
    """
    wave, earlier = Group.of(wave), Group.of(earlier)
    decided = wave.count(*DECIDED)
    failed = wave.inside(*(FAILED & DECIDED))
    so_far = f"{len(failed)} of {counted(decided, 'decided device')} failed"
    if unsafe := wave.inside("failed_unsafe"):
        return WaveVerdict("failed", f"{unsafe[0].device} failed, and no variant answers there")
    # Where there are many, the first device to be decided is not the wave: it may be the fastest because it is broken.
    is_first = len(failed) == 1 and bool(wave.open) and not past_deadline and _countable(wave) >= MANY
    if not is_first and (verdict := _too_many_failures(gate, decided, failed, earlier, so_far)):
        return verdict
    if against := judged.against(judgements):
        return WaveVerdict("failed", "; ".join(against))
    if doubtful := judged.doubtful(judgements):
        return WaveVerdict("inconclusive", "; ".join(doubtful))
    if nobody := passed_over.nobody_left(wave):
        return WaveVerdict(*nobody)
    if past_deadline and decided < min(gate.min_decided, _countable(wave)):
        return WaveVerdict(
            "inconclusive", f"only {counted(decided, 'device')} decided in time, {gate.min_decided} needed"
        )
    if soaked_s is None or (wave.open and not past_deadline):
        return WaveVerdict("wait", so_far)
    if soaked_s < gate.soak_s:
        return WaveVerdict("wait", f"soaking, {gate.soak_s - soaked_s:.0f} s to go; {so_far}")
    return _coverage(gate, wave, decided, len(failed), judgements, measure)


def _countable(wave: Group) -> int:
    return len(wave) - wave.count(*ENDED_OTHERWISE)


def _too_many_failures(
    gate: Gate, decided: int, failed: Collection[ExecutionRecord], earlier: Group, so_far: str
) -> WaveVerdict | None:
    why = "; ".join(sorted({e.reason or e.phase for e in failed}))
    if failed and decided >= gate.min_decided and len(failed) / decided > gate.failure_threshold:
        return WaveVerdict("failed", f"{so_far} ({why}), at most {gate.failure_threshold:.0%} allowed")
    all_failed = len(failed) + earlier.count(*(FAILED & DECIDED))
    if failed and sequential_test_rejects(all_failed, decided + earlier.count(*DECIDED)):
        return WaveVerdict("failed", f"{so_far} ({why}); the sequential test rejects a failure rate of 1 %")
    return None


def _coverage(
    gate: Gate, wave: Group, decided: int, failed: int, judgements: Sequence[Judgement], measure: MeasureView
) -> WaveVerdict:
    if decided < min(gate.min_decided, _countable(wave)):
        return WaveVerdict("inconclusive", f"only {counted(decided, 'device')} decided, {gate.min_decided} needed")
    gone = sum(e.removed_ms is not None for e in wave.inside(*DECIDED))
    if gone == decided:
        return WaveVerdict("inconclusive", "every device that decided was removed, so nothing was judged")
    share = (decided - failed) / decided
    if share < gate.success_threshold:
        committed = f"{share:.0%} of the decided devices committed"
        return WaveVerdict("failed", f"{committed}, {gate.success_threshold:.0%} needed")
    if lacking := judged.missing(gate.require, judgements, measure):
        return WaveVerdict("inconclusive", lacking)
    committed = f"{decided - failed} of {counted(decided, 'decided device')} committed"
    since = f"{gone:,} of these removed since" if gone else ""
    others = passed_over.words(wave)
    told = (committed, since, f"not counted: {others}" if others else "", judged.not_judged(judgements, measure))
    return WaveVerdict("passed", "; ".join(filter(None, told)))
