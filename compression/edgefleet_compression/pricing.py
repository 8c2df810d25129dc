"""What a variant costs on a profile's link, and which variant a profile gets, with the reasons.

Pure arithmetic on figures that were measured elsewhere. A latency that was measured on another class of device is
a prediction here: it may order candidates, and it never rejects one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from edgefleet_compression.metrics import Metrics
from edgefleet_profiles.profile import Constraints, DeviceProfile

TIE = 0.002
"""Shares of right answers, or of answers as the source model gives them, that are so near count as level."""
# Differences of two decimal fractions miss the fraction they stand for by less than this.
ROUNDING = 1e-9
BYTES_PER_MB = 1_000_000
SHARES = {"accuracy": "", "agreement": " agreement"}


@dataclass(frozen=True)
class Candidate:
    """A measured variant; `delivery_bytes` is everything that a device downloads for it."""

    variant: str
    recipe: str
    metrics: Metrics
    delivery_bytes: int


@dataclass(frozen=True)
class Price:
    """What a candidate costs on one profile.

    One delivery: seconds, US dollars for its data, joules of the device's radio or port. One inference: the 95th
    percentile in milliseconds, None where it was never measured.
    """

    transfer_s: float
    transfer_usd: float
    transfer_j: float
    p95_ms: float | None
    p95_is_predicted: bool


@dataclass(frozen=True)
class Choice:
    """The candidate that a profile gets, None where none meets its constraints.

    `reasons` has one sentence for every candidate, by variant; `nearest` is, where none meets everything, the one
    whose worst miss is the smallest share of what was allowed (for accuracy: of the wrong answers allowed).
    """

    chosen: Candidate | None
    reasons: dict[str, str]
    nearest: Candidate | None = None


@dataclass
class _Verdict:
    """A candidate with its price, the constraints that it breaks, and what could not be judged."""

    candidate: Candidate
    price: Price
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    worst_miss: float = 0.0

    def breaks(self, sentence: str, miss: float) -> None:
        self.broken.append(sentence)
        self.worst_miss = max(self.worst_miss, miss)


def price(candidate: Candidate, profile: DeviceProfile, *, measured_here: bool = False) -> Price:
    """What `candidate` costs on `profile`.

    Args:
        candidate: the variant with its figures; its latency is in milliseconds on the machine that measured it.
        profile: gives the link's prices and the hardware's latency factor, from the catalogue.
        measured_here: its latency was measured on this profile's device class; else it is predicted, by the factor.
    """
    megabytes = candidate.delivery_bytes / BYTES_PER_MB
    measured = candidate.metrics.p95_ms
    factor = 1.0 if measured_here else profile.hardware.latency_factor
    return Price(
        transfer_s=profile.link.transfer_s(candidate.delivery_bytes),
        transfer_usd=megabytes * profile.link.usd_per_mb,
        transfer_j=megabytes * profile.link.joule_per_mb,
        p95_ms=None if measured is None else measured * factor,
        p95_is_predicted=measured is not None and not measured_here,
    )


def choose(
    profile: DeviceProfile,
    constraints: Constraints,
    source_accuracy: float | None,
    candidates: Sequence[Candidate],
    *,
    measured_here: Collection[str] = (),
) -> Choice:
    """The candidate that `profile` gets, and for every candidate why it is that one or is not.

    Args:
        profile: where the variant shall run.
        constraints: what it must meet there, and what to prefer among those that do.
        source_accuracy: the source model's share of right answers (0 to 1) on the validation split.
        candidates: the variants to choose from.
        measured_here: the variants whose latency and energy were measured on this profile's device class.
    """
    constraints = _preferring_what_is_known(constraints, candidates)
    verdicts = []
    for candidate in candidates:
        here = candidate.variant in measured_here
        verdict = _Verdict(candidate, price(candidate, profile, measured_here=here))
        _judge_accuracy(verdict, constraints, source_accuracy)
        _judge_delivery(verdict, constraints, profile.link.name)
        _judge_running(verdict, constraints, here)
        verdicts.append(verdict)
    feasible = [v for v in verdicts if not v.broken]
    if not feasible:
        return _none_fits(verdicts)
    best = _best(feasible, constraints)
    reasons = {}
    for v in verdicts:
        if v is best:
            reason = _why_chosen(v, constraints, len(feasible), profile.link.name)
        else:
            reason = "; ".join(v.broken) or f"meets everything; {_why_not(v, best, constraints)}"
        reasons[v.candidate.variant] = _with_notes(reason, v)
    return Choice(best.candidate, reasons)


def _none_fits(verdicts: list[_Verdict]) -> Choice:
    if not verdicts:
        return Choice(None, {})
    nearest = min(verdicts, key=lambda v: (v.worst_miss, v.candidate.variant))
    reasons = {
        v.candidate.variant: _with_notes(("nearest of all: " if v is nearest else "") + "; ".join(v.broken), v)
        for v in verdicts
    }
    return Choice(None, reasons, nearest.candidate)


def _preferring_what_is_known(constraints: Constraints, candidates: Sequence[Candidate]) -> Constraints:
    """Without labels no accuracy is known of any candidate: then agreement with the source model stands for it."""
    if constraints.prefer != "accuracy" or any(c.metrics.accuracy_val is not None for c in candidates):
        return constraints
    return constraints.model_copy(update={"prefer": "agreement"})


def _judge_accuracy(verdict: _Verdict, constraints: Constraints, source_accuracy: float | None) -> None:
    accuracy = verdict.candidate.metrics.accuracy_val
    least, drop = constraints.min_accuracy, constraints.max_drop
    if least is None and drop is None:
        if accuracy is None:
            verdict.notes.append("accuracy not measured")
        return
    if accuracy is None:
        verdict.breaks("accuracy not measured, and a least accuracy is asked", float("inf"))
        return
    if least is not None and accuracy < least - ROUNDING:
        # Misses of accuracy count in wrong answers, as those of other figures count in what is too much.
        miss = (1 - accuracy) / max(1 - least, 0.001) - 1
        verdict.breaks(f"{_percent(accuracy)} right, at least {_percent(least)} asked", miss)
    if drop is None:
        return
    if source_accuracy is None:
        verdict.breaks("the source model's accuracy is not measured, and a largest drop is asked", float("inf"))
    elif source_accuracy - accuracy > drop + ROUNDING:
        lost = source_accuracy - accuracy
        miss = (1 - accuracy) / max(1 - source_accuracy + drop, 0.001) - 1
        verdict.breaks(
            f"{_percent(accuracy)} right, {lost * 100:.2f} points below the source model, "
            f"at most {drop * 100:.2f} allowed",
            miss,
        )


def _judge_delivery(verdict: _Verdict, constraints: Constraints, link: str) -> None:
    seconds, size = verdict.price.transfer_s, verdict.candidate.delivery_bytes
    most_s, most_bytes = constraints.transfer_s, constraints.delivery_bytes
    if most_s is not None and seconds > most_s:
        verdict.breaks(f"takes {seconds:.1f} s on {link}, at most {most_s:g} s allowed", seconds / most_s - 1)
    if most_bytes is not None and size > most_bytes:
        verdict.breaks(f"delivers {size:,} bytes, at most {most_bytes:,} allowed", size / most_bytes - 1)


def _judge_running(verdict: _Verdict, constraints: Constraints, measured_here: bool) -> None:
    metrics = verdict.candidate.metrics
    # Memory barely depends on the processor; time and energy do, so they count only from this very class.
    for what, unit, value, most, doubt in (
        ("p95", "ms", verdict.price.p95_ms, constraints.p95_ms, "" if measured_here else "predicted"),
        ("memory", "MB", metrics.peak_rss_mb, constraints.ram_mb, ""),
        (
            "energy",
            "mJ",
            metrics.mj_per_inference,
            constraints.mj_per_inference,
            "" if measured_here else "from elsewhere",
        ),
    ):
        if most is None:
            continue
        if value is None:
            verdict.notes.append(f"{what} not measured, at most {most:g} {unit} asked")
        elif value > most and doubt:
            verdict.notes.append(
                f"{what} of {value:.1f} {unit}, at most {most:g} {unit} asked: {doubt}, not used to reject"
            )
        elif value > most:
            miss = value / most - 1 if most else float("inf")
            verdict.breaks(f"{what} of {value:.1f} {unit}, at most {most:g} {unit} allowed", miss)


def _best(feasible: list[_Verdict], constraints: Constraints) -> _Verdict:
    if constraints.prefer not in SHARES:
        return min(feasible, key=lambda v: (_figure(v, constraints), *_tie_break(v)))
    top = max(_share(v.candidate, constraints) or 0.0 for v in feasible)
    level = [v for v in feasible if (_share(v.candidate, constraints) or 0.0) >= top - TIE - ROUNDING]
    return min(level, key=lambda v: (v.candidate.delivery_bytes, *_tie_break(v)))


def _tie_break(verdict: _Verdict) -> tuple[float, int, str]:
    candidate = verdict.candidate
    return -(candidate.metrics.accuracy_val or 0.0), candidate.delivery_bytes, candidate.variant


def _share(candidate: Candidate, constraints: Constraints) -> float | None:
    """The share that the preference wants large."""
    metrics = candidate.metrics
    return metrics.accuracy_val if constraints.prefer == "accuracy" else metrics.agreement_val


def _figure(verdict: _Verdict, constraints: Constraints) -> float:
    """The figure that the preference wants small; what was not measured comes last."""
    value = {
        "delivery_bytes": verdict.candidate.delivery_bytes,
        "p95_ms": verdict.price.p95_ms,
        "mj_per_inference": verdict.candidate.metrics.mj_per_inference,
    }[constraints.prefer]
    return float("inf") if value is None else value


def _why_chosen(verdict: _Verdict, constraints: Constraints, feasible: int, link: str) -> str:
    candidate, cost = verdict.candidate, verdict.price
    accuracy, agreement = candidate.metrics.accuracy_val, candidate.metrics.agreement_val
    best = {
        "accuracy": f"most accurate, to {TIE * 100:.1f} points, and smallest of those",
        "agreement": f"answers most as the source model does, to {TIE * 100:.1f} points, and smallest of those",
        "delivery_bytes": "smallest delivery",
        "p95_ms": "lowest p95",
        "mj_per_inference": "least energy",
    }[constraints.prefer]
    among = f"of the {feasible} that meet everything" if feasible > 1 else "the only one that meets everything"
    figures = [
        *([] if accuracy is None else [f"{_percent(accuracy)} right"]),
        *([f"{_percent(agreement)} agreement"] if accuracy is None and agreement is not None else []),
        f"{candidate.delivery_bytes:,} bytes in {cost.transfer_s:.1f} s on {link}",
        _p95(cost),
    ]
    reason = f"{best} {among}" if feasible > 1 else among
    return f"{reason}: {', '.join(figures)}"


def _why_not(verdict: _Verdict, best: _Verdict, constraints: Constraints) -> str:
    mine, theirs, name = verdict.candidate, best.candidate, best.candidate.recipe
    bytes_against = f"{mine.delivery_bytes:,} bytes against {theirs.delivery_bytes:,} of {name}"
    if constraints.prefer in SHARES:
        share, better = _share(mine, constraints), _share(theirs, constraints)
        if share is None:
            return f"{constraints.prefer} not measured; {bytes_against}"
        if better is None:
            return bytes_against
        what = SHARES[constraints.prefer]
        if share < better - TIE - ROUNDING:
            return f"{_percent(share)}{what} is less than {_percent(better)} of {name}"
        return f"{_percent(share)}{what} is level with {_percent(better)} of {name}, and {bytes_against}"
    if constraints.prefer == "delivery_bytes":
        return bytes_against
    if constraints.prefer == "p95_ms":
        return f"{_p95(verdict.price)} against {_p95(best.price)} of {name}"
    return f"{_energy(mine)} against {_energy(theirs)} of {name}"


def _with_notes(reason: str, verdict: _Verdict) -> str:
    return "; ".join([reason, *verdict.notes])


def _p95(cost: Price) -> str:
    if cost.p95_ms is None:
        return "p95 not measured"
    form = ".1f" if cost.p95_ms >= 1 else ".3f"
    return f"p95 {cost.p95_ms:{form}} ms{' (predicted)' if cost.p95_is_predicted else ''}"


def _energy(candidate: Candidate) -> str:
    energy = candidate.metrics.mj_per_inference
    return "energy not measured" if energy is None else f"{energy:.1f} mJ"


def _percent(share: float) -> str:
    """A share as per cent with one decimal, or two where the second says something."""
    return f"{share * 100:.2f}".removesuffix("0") + " %"
