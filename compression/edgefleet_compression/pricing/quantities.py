"""The quantities that a choice may depend on: properties of the link and the region, and constraints.

Each knows the value at which a candidate starts or stops meeting the constraint that the quantity belongs to.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from edgefleet_compression.pricing.prices import Candidate, Price, price
from edgefleet_compression.pricing.running import G_PER_TONNE
from edgefleet_contract.measures import MeasureView
from edgefleet_profiles.profile import Constraints, DeviceProfile


@dataclass(frozen=True)
class Case:
    """A candidate on a profile, its price there, and whether it was measured there."""

    profile: DeviceProfile
    constraints: Constraints
    source_score: float | None
    candidate: Candidate
    price: Price
    measured_here: bool


Edge = Callable[[Case], float | None]
QuantityPart = Literal["link", "region", "constraints"]


@dataclass(frozen=True)
class Quantity:
    """A number of a link, of a region or of the constraints.

    `unit` follows the value in a sentence; values are shown multiplied by `scale`. `off` is the value that None stands
    for, such as no limit; a quantity without one is skipped while it is not set. What a month costs rises evenly with a
    quantity that is `paid`.
    """

    name: str
    part: QuantityPart
    unit: str
    edge_of: Edge
    least: float = 0.0
    most: float = math.inf
    off: float | None = None
    scale: float = 1.0
    digits: int = 3
    paid: bool = False

    def value(self, profile: DeviceProfile, constraints: Constraints) -> float | None:
        """Its value now; None if not set."""
        of = {"link": profile.link, "region": profile.region, "constraints": constraints}[self.part]
        found: float | None = getattr(of, self.name)
        return found

    def edge(
        self,
        profile: DeviceProfile,
        constraints: Constraints,
        source_score: float | None,
        candidate: Candidate,
        measured_here: bool,
    ) -> float | None:
        """The value at which `candidate` starts or stops meeting the constraint; None if there is none."""
        cost = price(candidate, profile, measured_here=measured_here, constraints=constraints)
        found = self.edge_of(Case(profile, constraints, source_score, candidate, cost, measured_here))
        return None if found is None or math.isnan(found) else found

    def shown(self, value: float, *, up: bool) -> str:
        """A value with its unit in a few digits, rounded `up` or down so that statements about beyond it hold."""
        scaled = value * self.scale
        unit = self.unit
        if unit.startswith("kbit/s") and scaled >= 1000:
            scaled, unit = scaled / 1000, unit.replace("kbit/s", "Mbit/s", 1)
        return f"{_rounded(scaled, self.digits, up=up):,.12g} {unit}"


def _rounded(value: float, digits: int, *, up: bool) -> float:
    if value == 0 or math.isinf(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
    steps = value / step
    near = round(steps)
    whole = near if abs(steps - near) < 1e-9 * abs(steps) else (math.ceil(steps) if up else math.floor(steps))
    return float(f"{whole * step:.12g}")


def _speed(case: Case) -> float | None:
    link, limit = case.profile.link, case.constraints.transfer_s
    left_s = 0.0 if limit is None else limit - link.rtt_ms / 1000
    return _bits(case) / 1000 / (1 - link.loss) / left_s if left_s > 0 else None


def _loss(case: Case) -> float | None:
    link, limit = case.profile.link, case.constraints.transfer_s
    left_s = 0.0 if limit is None else limit - link.rtt_ms / 1000
    return 1 - _bits(case) / 1000 / link.down_kbps / left_s if left_s > 0 else None


def _round_trip(case: Case) -> float | None:
    link, limit = case.profile.link, case.constraints.transfer_s
    return None if limit is None else link.rtt_ms + (limit - case.price.transfer_s) * 1000


def _usd_per_mb(case: Case) -> float | None:
    limit = case.constraints.usd_per_month
    return None if limit is None else _ratio(limit, case.price.mb_per_month)


def _joule_per_mb(case: Case) -> float | None:
    limit = case.constraints.transfer_j
    return None if limit is None else _ratio(limit, case.candidate.megabytes)


def _transfers(case: Case) -> float | None:
    """How many a month the budget and the plan's data allow, whichever is less."""
    budget, cap = case.constraints.usd_per_month, case.profile.link.monthly_cap_mb
    most = [_ratio(limit, one) for limit, one in ((budget, case.price.transfer_usd), (cap, case.candidate.megabytes))]
    return min((m for m in most if m is not None), default=None)


def _p95(case: Case) -> float | None:
    return case.price.p95_ms if case.measured_here else None


def _energy(case: Case) -> float | None:
    return case.price.inference_mj if _is_measured(case) else None


def _running_usd(case: Case) -> float | None:
    return case.price.running.usd if case.price.running and _is_measured(case) else None


def _g_co2(case: Case) -> float | None:
    return case.price.running.g_co2 if case.price.running and _is_measured(case) else None


def _usd_per_kwh(case: Case) -> float | None:
    """The price at which the electricity and the carbon of a month meet their bound."""
    run, limit, now = case.price.running, case.constraints.running_usd_per_month, case.profile.region.usd_per_kwh
    return now + (limit - run.usd) / run.kwh if run and limit is not None and run.kwh and _is_measured(case) else None


def _g_co2_per_kwh(case: Case) -> float | None:
    """The carbon at which a month's emission, or its price, meets its bound, whichever comes first."""
    run, asked, region = case.price.running, case.constraints, case.profile.region
    if not run or not run.kwh or not _is_measured(case):
        return None
    edges = []
    if asked.g_co2_per_month is not None:
        edges.append(asked.g_co2_per_month / run.kwh)
    if asked.running_usd_per_month is not None and asked.usd_per_tonne_co2:
        left_usd = asked.running_usd_per_month - run.kwh * region.usd_per_kwh
        edges.append(left_usd / run.kwh / asked.usd_per_tonne_co2 * G_PER_TONNE)
    return min(edges, default=None)


def _is_measured(case: Case) -> bool:
    return case.price.energy_source == "measured"


def _drop(case: Case) -> float | None:
    score, source = case.candidate.metrics.score_val, case.source_score
    return None if score is None or source is None else source - score


def _bits(case: Case) -> int:
    return case.candidate.delivery_bytes * 8


def _ratio(limit: float | None, one: float) -> float | None:
    return None if limit is None or not one else limit / one


def _score(case: Case) -> float | None:
    return case.candidate.metrics.score_val


def _disagreement(case: Case) -> float | None:
    agreement = case.candidate.metrics.agreement_val
    return None if agreement is None else 1 - agreement


def _size(case: Case) -> float:
    return case.candidate.delivery_bytes


def _month(case: Case) -> float:
    return case.price.usd_per_month


def _memory(case: Case) -> float | None:
    return case.candidate.metrics.peak_rss_mb


NO_LIMIT = math.inf
LEAST, DROP = "min_accuracy", "max_drop"
"""What is asked of a score."""

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("down_kbps", "link", "kbit/s of the link", _speed),
    Quantity("rtt_ms", "link", "ms of round trip", _round_trip),
    Quantity("loss", "link", "% of packets lost", _loss, most=1.0, scale=100),
    Quantity("usd_per_mb", "link", "USD per MB", _usd_per_mb, paid=True),
    Quantity("joule_per_mb", "link", "J per MB", _joule_per_mb),
    Quantity("monthly_cap_mb", "link", "MB in the plan of a month", lambda case: case.price.mb_per_month),
    Quantity("transfers_per_month", "constraints", "transfers a month", _transfers, paid=True),
    Quantity("usd_per_kwh", "region", "USD per kWh", _usd_per_kwh, paid=True),
    Quantity("g_co2_per_kwh", "region", "g CO2 per kWh", _g_co2_per_kwh, paid=True),
    Quantity(LEAST, "constraints", "% right asked", _score, most=1.0, off=0.0, scale=100, digits=4),
    Quantity(
        "max_disagreement", "constraints", "% of disagreement allowed", _disagreement, most=1.0, off=1.0, scale=100
    ),
    Quantity(DROP, "constraints", "points of drop allowed", _drop, most=1.0, off=1.0, scale=100),
    Quantity("transfer_s", "constraints", "s allowed for a transfer", lambda case: case.price.transfer_s, off=NO_LIMIT),
    Quantity("delivery_bytes", "constraints", "bytes allowed", _size, off=NO_LIMIT, digits=12),
    Quantity("transfer_j", "constraints", "J allowed for a transfer", lambda case: case.price.transfer_j, off=NO_LIMIT),
    Quantity("usd_per_month", "constraints", "USD allowed for a month's data", _month, off=NO_LIMIT),
    Quantity("p95_ms", "constraints", "ms of p95 allowed", _p95, off=NO_LIMIT),
    Quantity("ram_mb", "constraints", "MB of memory allowed", _memory, off=NO_LIMIT),
    Quantity("mj_per_inference", "constraints", "mJ allowed for an inference", _energy, off=NO_LIMIT),
    Quantity(
        *("running_usd_per_month", "constraints", "USD allowed for a month's running", _running_usd), off=NO_LIMIT
    ),
    Quantity("g_co2_per_month", "constraints", "g CO2 allowed a month", _g_co2, off=NO_LIMIT),
)


def quantities_of(constraints: Constraints, measure: MeasureView) -> tuple[Quantity, ...]:
    """What a choice may depend on, where variants are judged by this measure.

    A least score goes by the name that it is asked by, or else by the measure's.
    """
    if not measure.scored:
        return tuple(one for one in QUANTITIES if one.name not in (LEAST, DROP))
    if measure.is_accuracy and constraints.min_score is None:
        return QUANTITIES
    name = LEAST if constraints.min_accuracy is not None else "min_score"
    unit = "% right asked" if measure.is_accuracy else f"% {measure.name} asked"
    return tuple(replace(one, name=name, unit=unit) if one.name == LEAST else one for one in QUANTITIES)
