"""The quantities that a choice may depend on: properties of the link, and constraints.

Each knows the value at which a candidate starts or stops meeting the constraint that the quantity belongs to.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgefleet_compression.pricing.prices import Candidate, Price, price
from edgefleet_profiles.parts import Link
from edgefleet_profiles.profile import Constraints, DeviceProfile


@dataclass(frozen=True)
class Case:
    """A candidate on a profile, its price there, and whether it was measured there."""

    profile: DeviceProfile
    constraints: Constraints
    source_accuracy: float | None
    candidate: Candidate
    price: Price
    measured_here: bool


Edge = Callable[[Case], float | None]


@dataclass(frozen=True)
class Quantity:
    """A number of a link or of the constraints.

    `unit` follows the value in a sentence; values are shown multiplied by `scale`. `off` is the value that None stands
    for, such as no limit; a quantity without one is skipped while it is not set.
    """

    name: str
    part: Literal["link", "constraints"]
    unit: str
    edge_of: Edge
    least: float = 0.0
    most: float = math.inf
    off: float | None = None
    scale: float = 1.0
    digits: int = 3

    def value(self, link: Link, constraints: Constraints) -> float | None:
        """Its value now; None if not set."""
        found: float | None = getattr(link if self.part == "link" else constraints, self.name)
        return found

    def edge(
        self,
        profile: DeviceProfile,
        constraints: Constraints,
        source_accuracy: float | None,
        candidate: Candidate,
        measured_here: bool,
    ) -> float | None:
        """The value at which `candidate` starts or stops meeting the constraint; None if there is none."""
        cost = price(
            candidate, profile, measured_here=measured_here, transfers_per_month=constraints.transfers_per_month
        )
        found = self.edge_of(Case(profile, constraints, source_accuracy, candidate, cost, measured_here))
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
    return case.price.inference_mj if case.price.energy_source == "measured" else None


def _drop(case: Case) -> float | None:
    accuracy, source = case.candidate.metrics.accuracy_val, case.source_accuracy
    return None if accuracy is None or source is None else source - accuracy


def _bits(case: Case) -> int:
    return case.candidate.delivery_bytes * 8


def _ratio(limit: float | None, one: float) -> float | None:
    return None if limit is None or not one else limit / one


def _accuracy(case: Case) -> float | None:
    return case.candidate.metrics.accuracy_val


def _size(case: Case) -> float:
    return case.candidate.delivery_bytes


def _month(case: Case) -> float:
    return case.price.usd_per_month


def _memory(case: Case) -> float | None:
    return case.candidate.metrics.peak_rss_mb


NO_LIMIT = math.inf

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("down_kbps", "link", "kbit/s of the link", _speed),
    Quantity("rtt_ms", "link", "ms of round trip", _round_trip),
    Quantity("loss", "link", "% of packets lost", _loss, most=1.0, scale=100),
    Quantity("usd_per_mb", "link", "USD per MB", _usd_per_mb),
    Quantity("joule_per_mb", "link", "J per MB", _joule_per_mb),
    Quantity("monthly_cap_mb", "link", "MB in the plan of a month", lambda case: case.price.mb_per_month),
    Quantity("transfers_per_month", "constraints", "transfers a month", _transfers),
    Quantity("min_accuracy", "constraints", "% right asked", _accuracy, most=1.0, off=0.0, scale=100, digits=4),
    Quantity("max_drop", "constraints", "points of drop allowed", _drop, most=1.0, off=1.0, scale=100),
    Quantity("transfer_s", "constraints", "s allowed for a transfer", lambda case: case.price.transfer_s, off=NO_LIMIT),
    Quantity("delivery_bytes", "constraints", "bytes allowed", _size, off=NO_LIMIT, digits=12),
    Quantity("transfer_j", "constraints", "J allowed for a transfer", lambda case: case.price.transfer_j, off=NO_LIMIT),
    Quantity("usd_per_month", "constraints", "USD allowed for a month's data", _month, off=NO_LIMIT),
    Quantity("p95_ms", "constraints", "ms of p95 allowed", _p95, off=NO_LIMIT),
    Quantity("ram_mb", "constraints", "MB of memory allowed", _memory, off=NO_LIMIT),
    Quantity("mj_per_inference", "constraints", "mJ allowed for an inference", _energy, off=NO_LIMIT),
)
