"""Chooses a variant for a profile and gives reasons, from prices, verdicts and a preference; pure arithmetic."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edgefleet_compression.pricing.prices import Candidate, Price, price
from edgefleet_compression.pricing.verdicts import ROUNDING, Verdict, judge, small
from edgefleet_compression.pricing.words import AGREEMENT, highest, kind, not_scored, percent, quality, scored
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_contract.metrics import Metrics
from edgefleet_profiles.profile import Constraints, DeviceProfile, Preference

__all__ = ["Candidate", "Choice", "Price", "best_of", "choose", "nearest_of", "preferring_what_is_known", "price"]

TIE = 0.002
"""Scores, or agreements, that differ by no more than this share count as level."""
NEAREST = "nearest of all: "
"""Begins the reason against the candidate that misses least, where none meets everything."""
SCORES: tuple[Preference, Preference] = ("accuracy", "score")
"""The preferences for the best score, the first for the share of right answers."""
SHARES = (*SCORES, "agreement")


@dataclass(frozen=True)
class Choice:
    """The candidate that a profile gets; None if none meets its constraints.

    `reasons` has one sentence for each candidate, by variant. If none meets everything, `nearest` is the one whose
    worst miss is the smallest share of its bound (for a score, of what may be wrong).
    """

    chosen: Candidate | None
    reasons: dict[str, str]
    nearest: Candidate | None = None


def choose(
    profile: DeviceProfile,
    constraints: Constraints,
    source_score: float | None,
    candidates: Sequence[Candidate],
    *,
    measured_here: Collection[str] = (),
) -> Choice:
    """Choose a candidate for `profile`, with a reason for or against each.

    Args:
        profile: where the variant will run.
        constraints: that it must meet there, with what to prefer among those that do.
        source_score: the source model's score (0 to 1) on the validation split.
        candidates: the variants to choose from.
        measured_here: the variants whose latency and energy were measured on this profile's device class.
    """
    constraints = preferring_what_is_known(constraints, candidates)
    verdicts = judge(profile, constraints, source_score, candidates, measured_here)
    feasible = [v for v in verdicts if not v.broken]
    best = best_of(verdicts, constraints)
    if best is None:
        return _none_fits(verdicts)
    reasons = {}
    for v in verdicts:
        if v is best:
            reason = _why_chosen(v, constraints, len(feasible), profile.link.name)
        else:
            reason = v.why_not or f"meets everything; {_why_not(v, best, constraints)}"
        reasons[v.candidate.variant] = _with_notes(reason, v)
    return Choice(best.candidate, reasons)


def nearest_of(verdicts: Sequence[Verdict]) -> Verdict:
    """The one whose worst miss is smallest."""
    return min(verdicts, key=lambda v: (v.worst_miss, v.candidate.variant))


def _none_fits(verdicts: list[Verdict]) -> Choice:
    if not verdicts:
        return Choice(None, {})
    nearest = nearest_of(verdicts)
    reasons = {v.candidate.variant: _with_notes((NEAREST if v is nearest else "") + v.why_not, v) for v in verdicts}
    return Choice(None, reasons, nearest.candidate)


def preferring_what_is_known(constraints: Constraints, candidates: Sequence[Candidate]) -> Constraints:
    """Prefer agreement over a score that no candidate has; a score goes by its measure's name, whichever was asked."""
    if constraints.prefer not in SCORES:
        return constraints
    known = any(c.metrics.score_val is not None for c in candidates)
    return constraints.model_copy(update={"prefer": called(measure_of(candidates)) if known else "agreement"})


def called(measure: MeasureView) -> Preference:
    """What a preference for the best by this measure is called."""
    return SCORES[0] if measure.is_accuracy else SCORES[1]


def measure_of(candidates: Sequence[Candidate]) -> MeasureView:
    """The measure of a model's variants."""
    return candidates[0].metrics.measure if candidates else ACCURACY


def best_of(verdicts: Sequence[Verdict], constraints: Constraints) -> Verdict | None:
    """The preferred one among those that break nothing; None if there is none."""
    feasible = [v for v in verdicts if not v.broken]
    if not feasible:
        return None
    if constraints.prefer not in SHARES:
        return min(feasible, key=lambda v: (_figure(v, constraints), *_tie_break(v)))
    top = max(_share(v.candidate, constraints) or 0.0 for v in feasible)
    level = [v for v in feasible if (_share(v.candidate, constraints) or 0.0) >= top - TIE - ROUNDING]
    return min(level, key=lambda v: (v.candidate.delivery_bytes, *_tie_break(v)))


def _tie_break(verdict: Verdict) -> tuple[float, int, str]:
    candidate = verdict.candidate
    return -(quality(candidate.metrics) or 0.0), candidate.delivery_bytes, candidate.variant


def _share(candidate: Candidate, constraints: Constraints) -> float | None:
    """The share that the preference maximizes."""
    metrics = candidate.metrics
    return beyond_chance(metrics) if constraints.prefer in SCORES else metrics.agreement_val


def beyond_chance(metrics: Metrics) -> float | None:
    """The score on val; where it is above the source's by no more than chance allows, the source's."""
    score, lost, bounds = metrics.score_val, metrics.drop_val, metrics.drop_val_ci
    if score is None or lost is None or bounds is None or lost >= 0 or bounds[1] < 0:
        return score
    return score + lost


def _figure(verdict: Verdict, constraints: Constraints) -> float:
    """The figure that the preference minimizes; unmeasured ones come last."""
    value = {
        "delivery_bytes": verdict.candidate.delivery_bytes,
        "p95_ms": verdict.price.p95_ms,
        "mj_per_inference": verdict.price.inference_mj,
        "usd_per_month": verdict.price.total_usd_per_month,
    }[constraints.prefer]
    return float("inf") if value is None else value


def _why_chosen(verdict: Verdict, constraints: Constraints, feasible: int, link: str) -> str:
    candidate, cost = verdict.candidate, verdict.price
    score, agreement, measure = candidate.metrics.score_val, candidate.metrics.agreement_val, candidate.metrics.measure
    best = {
        called(measure): f"{highest(measure)}, to {TIE * 100:.1f} points, and smallest of those",
        "agreement": f"answers most as the source model does, to {TIE * 100:.1f} points, and smallest of those",
        "delivery_bytes": "smallest delivery",
        "p95_ms": "lowest p95",
        "mj_per_inference": "least energy",
        "usd_per_month": "cheapest month",
    }[constraints.prefer]
    among = f"of the {feasible} that meet everything" if feasible > 1 else "the only one that meets everything"
    figures = [
        *([] if score is None else [scored(score, measure)]),
        *([percent(agreement) + AGREEMENT] if score is None and agreement is not None else []),
        f"{candidate.delivery_bytes:,} bytes in {cost.transfer_s:.1f} s on {link}",
        _p95(cost),
        *([_month(cost)] if cost.runs or constraints.prefer == "usd_per_month" else []),
    ]
    reason = f"{best} {among}" if feasible > 1 else among
    return f"{reason}: {', '.join(figures)}"


def _why_not(verdict: Verdict, best: Verdict, constraints: Constraints) -> str:
    mine, theirs, name = verdict.candidate, best.candidate, best.candidate.recipe
    measure = mine.metrics.measure
    bytes_against = f"{mine.delivery_bytes:,} bytes against {theirs.delivery_bytes:,} of {name}"
    if constraints.prefer in SHARES:
        share, better = _share(mine, constraints), _share(theirs, constraints)
        if share is None:
            missing = "agreement not measured" if constraints.prefer == "agreement" else not_scored(measure)
            return f"{missing}; {bytes_against}"
        if better is None:
            return bytes_against
        what = AGREEMENT if constraints.prefer == "agreement" else kind(measure)
        if share < better - TIE - ROUNDING:
            return f"{percent(share)}{what} is less than {percent(better)} of {name}"
        return f"{percent(share)}{what} is level with {percent(better)} of {name}, and {bytes_against}"
    if constraints.prefer == "delivery_bytes":
        return bytes_against
    if constraints.prefer == "p95_ms":
        return f"{_p95(verdict.price)} against {_p95(best.price)} of {name}"
    if constraints.prefer == "usd_per_month":
        return f"{_month(verdict.price)} against {_month(best.price)} of {name}"
    return f"{_energy(verdict.price)} against {_energy(best.price)} of {name}"


def _with_notes(reason: str, verdict: Verdict) -> str:
    return "; ".join([reason, *verdict.notes])


def _p95(cost: Price) -> str:
    if cost.p95_ms is None:
        return "p95 not measured"
    form = ".1f" if cost.p95_ms >= 1 else ".3f"
    return f"p95 {cost.p95_ms:{form}} ms{' (predicted)' if cost.p95_is_predicted else ''}"


def _energy(cost: Price) -> str:
    if cost.inference_mj is None:
        return "energy not measured"
    return f"{small(cost.inference_mj)} mJ{' (modelled)' if cost.energy_source == 'modelled' else ''}"


def _month(cost: Price) -> str:
    if cost.total_usd_per_month is None:
        return "cost of running not measured"
    emitted = f" and {cost.running.g_co2:.3g} g CO2" if cost.running else ""
    unsure = " (modelled)" if cost.running and cost.energy_source == "modelled" else ""
    return f"{cost.total_usd_per_month:.3g} USD{emitted} a month{unsure}"
