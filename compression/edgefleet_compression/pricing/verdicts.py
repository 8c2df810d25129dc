"""Finds the constraints that a candidate breaks on a profile, and by how much: the first half of a choice.

A latency measured on another device class is a prediction here, and so is a modelled energy: they may order
candidates, but never reject one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from edgefleet_compression.pricing.prices import Candidate, Price, price
from edgefleet_compression.pricing.words import not_scored, percent, scored
from edgefleet_profiles.profile import Constraints, DeviceProfile

# Subtracting decimal fractions is off by less than this.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Broken:
    """A constraint that a candidate breaks, in one sentence; `miss` is by what share."""

    constraint: str
    sentence: str
    miss: float


@dataclass
class Verdict:
    """A candidate, its price, the constraints it breaks, and notes on what could not be judged."""

    candidate: Candidate
    price: Price
    broken: list[Broken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def breaks(self, constraint: str, sentence: str, miss: float) -> None:
        """Record a broken constraint."""
        self.broken.append(Broken(constraint, sentence, miss))

    @property
    def worst_miss(self) -> float:
        """The largest share by which it misses a constraint."""
        return max((b.miss for b in self.broken), default=0.0)

    @property
    def why_not(self) -> str:
        """Everything it breaks; empty if it meets everything."""
        return "; ".join(b.sentence for b in self.broken)


def judge(
    profile: DeviceProfile,
    constraints: Constraints,
    source_score: float | None,
    candidates: Sequence[Candidate],
    measured_here: Collection[str] = (),
) -> list[Verdict]:
    """Judge each candidate.

    Args:
        profile: where the variant will run.
        constraints: that it must meet there.
        source_score: the source model's score (0 to 1) on the validation split.
        candidates: the variants.
        measured_here: those whose latency and energy were measured on this profile's device class.
    """
    verdicts = []
    for candidate in candidates:
        here = candidate.variant in measured_here
        cost = price(candidate, profile, measured_here=here, constraints=constraints)
        verdict = Verdict(candidate, cost)
        _judge_score(verdict, constraints, source_score)
        _judge_agreement(verdict, constraints)
        _judge_delivery(verdict, constraints, profile)
        _judge_running(verdict, constraints, here)
        verdicts.append(verdict)
    return verdicts


def _judge_score(verdict: Verdict, constraints: Constraints, source_score: float | None) -> None:
    metrics = verdict.candidate.metrics
    score, measure = metrics.score_val, metrics.measure
    least, drop, called = constraints.least_score, constraints.max_drop, measure.name if measure.scored else "score"
    if least is None and drop is None:
        if score is None and measure.scored:
            verdict.notes.append(not_scored(measure))
        return
    if score is None:
        asked = "max_drop" if least is None else constraints.least_score_is
        verdict.breaks(asked, f"{not_scored(measure)}, and a least {called} is asked", float("inf"))
        return
    if least is not None and score < least - ROUNDING:
        # Misses of a score count in what is wrong, like the excess of other figures.
        miss = (1 - score) / max(1 - least, 0.001) - 1
        sentence = f"{scored(score, measure)}, at least {percent(least)} asked"
        verdict.breaks(constraints.least_score_is, sentence, miss)
    if drop is None:
        return
    if source_score is None:
        sentence = f"the source model's {called} is not measured, and a largest drop is asked"
        verdict.breaks("max_drop", sentence, float("inf"))
    elif source_score - score > drop + ROUNDING:
        miss = (1 - score) / max(1 - source_score + drop, 0.001) - 1
        sentence = (
            f"{scored(score, measure)}, {(source_score - score) * 100:.2f} points below the source model, "
            f"at most {drop * 100:.2f} allowed"
        )
        verdict.breaks("max_drop", sentence, miss)


def _judge_agreement(verdict: Verdict, constraints: Constraints) -> None:
    agreement, most = verdict.candidate.metrics.agreement_val, constraints.max_disagreement
    if most is None:
        return
    if agreement is None:
        sentence = "agreement with the source model not measured, and a largest disagreement is asked"
        verdict.breaks("max_disagreement", sentence, float("inf"))
    elif 1 - agreement > most + ROUNDING:
        sentence = f"{percent(agreement)} agreement with the source model, at least {percent(1 - most)} asked"
        verdict.breaks("max_disagreement", sentence, (1 - agreement) / max(most, 0.001) - 1)


def _judge_delivery(verdict: Verdict, constraints: Constraints, profile: DeviceProfile) -> None:
    link, cost, size = profile.link, verdict.price, verdict.candidate.delivery_bytes
    month, cap = constraints.transfers_per_month, link.monthly_cap_mb
    often = "" if month == 1 else f" for {month:g} transfers"
    for constraint, value, most, sentence, unit in (
        ("transfer_s", cost.transfer_s, constraints.transfer_s, f"takes {cost.transfer_s:.1f} s on {link.name}", " s"),
        ("delivery_bytes", size, constraints.delivery_bytes, f"delivers {size:,} bytes", ""),
        ("transfer_j", cost.transfer_j, constraints.transfer_j, f"a transfer takes {cost.transfer_j:.3g} J", " J"),
        (
            *("usd_per_month", cost.usd_per_month, constraints.usd_per_month),
            *(f"data for {cost.usd_per_month:.3g} USD a month{often}", " USD"),
        ),
        (
            *("monthly_cap_mb", cost.mb_per_month, cap),
            *(f"{cost.mb_per_month:.3g} MB a month{often}, more than the plan of {link.name} holds", " MB"),
        ),
    ):
        if most is not None and value > most:
            allowed = f"{most:,}" if isinstance(most, int) else f"{most:g}"
            miss = value / most - 1 if most else float("inf")
            verdict.breaks(constraint, f"{sentence}, at most {allowed}{unit} allowed", miss)


def _judge_running(verdict: Verdict, constraints: Constraints, measured_here: bool) -> None:
    cost = verdict.price
    doubt = {"modelled": "modelled", "measured": "", "measured elsewhere": "from elsewhere", None: ""}
    of_energy = doubt[cost.energy_source]
    usd, g_co2 = (cost.running.usd, cost.running.g_co2) if cost.running else (None, None)
    # Memory barely depends on the processor; time and energy do, so only figures of this class count.
    for constraint, what, unit, value, most, unsure in (
        ("p95_ms", "p95", "ms", cost.p95_ms, constraints.p95_ms, "" if measured_here else "predicted"),
        ("ram_mb", "memory", "MB", verdict.candidate.metrics.peak_rss_mb, constraints.ram_mb, ""),
        ("mj_per_inference", "energy", "mJ", cost.inference_mj, constraints.mj_per_inference, of_energy),
        ("running_usd_per_month", "running a month", "USD", usd, constraints.running_usd_per_month, of_energy),
        ("g_co2_per_month", "carbon of a month", "g CO2", g_co2, constraints.g_co2_per_month, of_energy),
    ):
        if most is None:
            continue
        if value is None:
            verdict.notes.append(f"{what} not measured, at most {most:g} {unit} asked")
        elif value > most and unsure:
            asked = f"at most {most:g} {unit} asked"
            verdict.notes.append(f"{what} of {small(value)} {unit}, {asked}: {unsure}, not used to reject")
        elif value > most:
            miss = value / most - 1 if most else float("inf")
            verdict.breaks(constraint, f"{what} of {small(value)} {unit}, at most {most:g} {unit} allowed", miss)


def small(value: float) -> str:
    """A figure with one decimal, or three digits below one."""
    return f"{value:.1f}" if value >= 1 else f"{value:.3g}"
