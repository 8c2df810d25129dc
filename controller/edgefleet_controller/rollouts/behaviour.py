"""Whether a new variant behaves well: pure statistical tests on what devices measured, profile by profile."""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from statistics import NormalDist, median
from typing import Literal

from edgefleet_contract.counted import agreeing, counted
from edgefleet_contract.measures import MeasureView
from edgefleet_contract.rollouts import Gate, GateCheck, Judgement
from edgefleet_controller.records import Evidence
from edgefleet_controller.rescaling import ALIKE
from edgefleet_controller.rollouts.weighing import MANY, Crowd, Weighed, clip_at, mean, variance_of_mean, weigh
from edgefleet_protocol.counters import Counters
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.moments import Moments

_NORMAL = NormalDist()
SLOWEST = 0.05
"""The share of answers slower than their own p95, by definition."""

Told = Mapping[str, Moments]
"""Scores by device."""


class _NotJudged(Exception):  # noqa: N818 - not an error: it carries why there is nothing to judge by
    """There is not enough evidence."""


def examine(gate: Gate, evidence: Evidence, crowd: Crowd) -> list[Judgement]:
    """Every check's judgement on one profile, also of those that cannot judge yet."""
    return [_judge(check, gate, evidence, crowd) for check in TABLE]


def _judge(check: GateCheck, gate: Gate, evidence: Evidence, crowd: Crowd) -> Judgement:
    try:
        outcome, words, outliers = TABLE[check](gate, evidence, crowd)
    except _NotJudged as why:
        return Judgement(check=check, profile=evidence.profile, outcome="not_judged", words=str(why))
    if outliers:
        words += f"; not counted, as they differ from the others: {', '.join(outliers)}"
    return Judgement(
        check=check, profile=evidence.profile, outcome=outcome, words=f"{evidence.profile}: {words}", outliers=outliers
    )


_Outcome = tuple[Literal["passed", "failed", "inconclusive"], str, tuple[str, ...]]


def _accuracy(gate: Gate, evidence: Evidence, crowd: Crowd) -> _Outcome:
    """Tests all labels and, if they speak against the variant, those alone that can be relied on."""
    new, measure = evidence.new, evidence.measure
    if not measure.scored:
        raise _NotJudged("single answers have no score")
    scored = {device: counters.scored for device, counters in new.items()}
    refused = sum(counters.serving.refused_labels for counters in new.values())
    if refused and not any(moments.n for moments in scored.values()):
        raise _NotJudged(f"no labels yet: {_refused(refused, 'label', measure)}")
    if (before := evidence.measure_before) is not None and before != measure:
        raise _NotJudged(f"answers are scored by {measure.name}, those of what ran before by {before.name}")
    outcome, words, outliers = _rescaled_drop(gate, evidence, scored, crowd)
    if refused:
        words += f"; {_refused(refused, 'more label', measure)}"
    if outcome != "failed" or not (doubts := _doubts(new, refused, measure)):
        return outcome, words, outliers
    with suppress(_NotJudged):
        again = _rescaled_drop(gate, evidence, _relied_on(gate, evidence), crowd)
        if again[0] == "failed":
            return again
    return "inconclusive", f"{words}; {doubts}: look at what sends the labels", outliers


def _relied_on(gate: Gate, evidence: Evidence) -> Told:
    """Checked labels, and unchecked ones of devices whose labels were right before; none where some were refused.

    A device's labels were right before if as many as the gate asks for were as right as most devices' were, but for
    the tolerated drop: who sends them numbers them rightly.
    """
    before = evidence.before
    bar = median(map(mean, before.values())) - gate.max_accuracy_drop if before else 0.0
    known = {device for device, scored in before.items() if scored.n >= gate.min_labels and mean(scored) >= bar}
    return {
        device: counters.scored if device in known else counters.checked
        for device, counters in evidence.new.items()
        if not counters.serving.refused_labels
    }


def _refused(number: int, what: str, measure: MeasureView) -> str:
    were, they = agreeing(number, "was", "were"), agreeing(number, "it is", "they are")
    why = "none of the model's classes" if measure.is_accuracy else "none that the model's task takes"
    return f"{counted(number, what)} {were} refused, as {they} {why}"


def _doubts(new: Mapping[str, Counters], refused: int, measure: MeasureView) -> str:
    """Why labels that speak against a variant may be wrong themselves; empty if there is no reason to think so."""
    found = []
    if unchecked := sum(counters.unchecked.n for counters in new.values()):
        found.append(
            f"{counted(unchecked, 'label')} came through agents up to 0.2, and may be none of the model's classes"
        )
    if refused:
        wrong = "number the others wrongly, too" if measure.is_accuracy else "send others that are wrong, too"
        found.append(f"whoever sends impossible labels may {wrong}")
    return "; ".join(found)


def _rescaled_drop(gate: Gate, evidence: Evidence, scored: Told, crowd: Crowd) -> _Outcome:
    """As `_drop`, by the scale of what ran before: between bounds, and so it may stay open."""
    by = evidence.rescaled
    if by == ALIKE:
        return _drop(gate, evidence, scored, crowd)
    worst, best = (_drop(gate, evidence, one, crowd) for one in (by.at_worst(scored), by.at_best(scored)))
    if worst[0] != "failed":
        return worst[0], f"{worst[1]}, at worst by the scale of what ran before", worst[2]
    if best[0] == "failed":
        return best[0], f"{best[1]}, at best by the scale of what ran before", best[2]
    own = mean(sum((scored[device] for device in _some(scored)), Moments()))
    told = f"{own:.1%} by its own scale is anything down to {worst[1]}"
    wide = f"a number that is wholly wrong is off by up to {by.most:.2g} times as much as before"
    return "inconclusive", f"{told}, by the scale of what ran before: {wide}; set answers.scale in both cards", worst[2]


def _drop(gate: Gate, evidence: Evidence, scored: Told, crowd: Crowd) -> _Outcome:
    """One-sided test of two mean scores, with the tolerated drop as the margin."""
    labelled = _some(scored)
    _must_be_of_several(gate, labelled, crowd, "label")
    usual = median(mean(scored) for scored in evidence.before.values()) if evidence.before else 0.0
    before = _counted(gate, evidence.before, 1, usual, crowd, gate.min_labels, "label", " of what ran before")
    tolerated = mean(before.moments) - gate.max_accuracy_drop
    new = _counted(gate, labelled, -1, tolerated, crowd, gate.min_labels, "label")
    spread = math.sqrt(variance_of_mean(new.moments) + variance_of_mean(before.moments))
    p = 1 - _NORMAL.cdf((tolerated - mean(new.moments)) / spread)
    labels = f"{counted(new.moments.n, 'label')}{_of(new)}"
    named = "" if evidence.measure.is_accuracy else f"{evidence.measure.name} "
    shown = f"{labels}, {named}{mean(new.moments):.1%} against {mean(before.moments):.1%}, {_p(p)}"
    return _outcome(p < gate.significance), shown, _named(new, before)


def _errors(gate: Gate, evidence: Evidence, crowd: Crowd) -> _Outcome:
    """Compares Wilson's lower bound of the share of failed answers with the tolerated share."""
    asked = _some({device: _failures(counters) for device, counters in evidence.new.items()})
    _must_be_of_several(gate, asked, crowd, "request")
    try:
        new = _counted(gate, asked, 1, gate.max_error_share, crowd, gate.min_requests, "request")
    except _NotJudged as why:
        of_few = sum(moments.hits for moments in asked.values())
        raise _NotJudged(f"{why}; {counted(of_few, 'answer')} failed" if of_few else str(why)) from None
    failed, of = new.moments.hits, new.moments.n
    words = f"{failed:,} of {counted(of, 'answer')}{_of(new)} failed, at most {gate.max_error_share:.1%} allowed"
    return _outcome(_wilson_low(failed, of, gate.significance) > gate.max_error_share), words, _named(new)


def _latency(gate: Gate, evidence: Evidence, crowd: Crowd) -> _Outcome:
    """Compares the share of answers slower than the control's p95, times the tolerated ratio, with 5 %."""
    timed = _timed(evidence.new)
    _must_be_of_several(gate, timed, crowd, "timed answer")
    control = _timed(evidence.control)
    if not control:
        raise _NotJudged("nothing to compare with: no device of the rollout that answers still runs the old variant")
    theirs = _p95_ms(control.values(), gate.min_requests)
    old = _counted(gate, _slow(control, theirs), -1, SLOWEST, crowd, gate.min_requests, "answer", " of the old variant")
    theirs = _p95_ms([control[device] for device in old.kept], gate.min_requests)
    slow = _slow(timed, theirs * gate.max_p95_ratio)
    new = _counted(gate, slow, 1, SLOWEST, crowd, gate.min_requests, "timed answer")
    ours = _p95_ms([timed[device] for device in new.kept], gate.min_requests)
    low = _wilson_low(new.moments.hits, new.moments.n, gate.significance)
    words = f"p95 {ours:.2f} ms{_of(new)} against {theirs:.2f} ms on devices that still run the old variant"
    return _outcome(low > SLOWEST), words, _named(new, old)


TABLE: Mapping[GateCheck, Callable[[Gate, Evidence, Crowd], _Outcome]] = {
    "accuracy": _accuracy,
    "errors": _errors,
    "latency": _latency,
}
"""Every check that there is."""


def _must_be_of_several(gate: Gate, told: Collection[str], crowd: Crowd, unit: str) -> None:
    """Demand evidence from `min_devices` devices, where there are as many."""
    if not told:
        raise _NotJudged(f"no {unit}s yet")
    if len(told) < gate.min_devices <= crowd.of_profile:
        raise _NotJudged(f"{unit}s of only {len(told)} of {crowd.of_profile} devices, {gate.min_devices} needed")


def _counted(
    gate: Gate, told: Told, worse: Literal[1, -1], bar: float, crowd: Crowd, enough: int, unit: str, of_which: str = ""
) -> Weighed:
    """What counts, if it is enough; it is counted by `unit`, and `of_which` says whose it is."""
    weighed = weigh(told, worse, bar, crowd, enough, gate.significance)
    found = weighed.moments.n
    if told and not weighed.kept:
        raise _NotJudged(f"{unit}s{of_which} of one device only, and among {MANY} or more one alone does not decide")
    if found < enough:
        of = f" that count, of {total:,}," if (total := sum(scored.n for scored in told.values())) > found else ","
        raise _NotJudged(f"{counted(found, unit) if found else f'no {unit}s'}{of_which}{of} {enough:,} needed")
    return weighed


def _failures(counters: Counters) -> Moments:
    failed = counters.serving.errors + counters.serving.not_finite
    return Moments.of_hits(max(counters.serving.requests, failed), failed)


def _some(told: Told) -> Told:
    return {device: moments for device, moments in told.items() if moments.n}


def _timed(counters: Mapping[str, Counters]) -> Mapping[str, LatencyHistogram]:
    return {device: one.serving.latency for device, one in counters.items() if one.serving.latency.count}


def _slow(timed: Mapping[str, LatencyHistogram], ms: float) -> Told:
    return {device: Moments.of_hits(latency.count, latency.count_above(ms)) for device, latency in timed.items()}


def _p95_ms(timed: Collection[LatencyHistogram], enough: int) -> float:
    """The p95 of all, in ms; none has many more answers than the others."""
    most = clip_at([latency.count for latency in timed], enough)
    merged = LatencyHistogram()
    for latency in timed:
        merged.add(latency.clipped(most))
    return merged.percentile_ms(95) or 0.0


def _outcome(against: bool) -> Literal["passed", "failed"]:
    return "failed" if against else "passed"


def _named(*sides: Weighed) -> tuple[str, ...]:
    return tuple(dict.fromkeys(device for side in sides for device in side.outliers))


def _of(weighed: Weighed) -> str:
    return f" of {len(weighed.kept)} devices" if len(weighed.kept) > 1 else ""


def _wilson_low(successes: int, n: int, significance: float) -> float:
    """Wilson's one-sided lower bound of a proportion (Wilson 1927)."""
    z = _NORMAL.inv_cdf(1 - significance)
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
