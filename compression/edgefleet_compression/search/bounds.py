"""Bounds on a variant, judged on val with a margin; if none meets them, the nearest ones and what they break."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from edgefleet_compression.search.points import Point
from edgefleet_contract.counted import counted
from edgefleet_contract.metrics import Metrics

Z_95 = 1.959964
NEAREST = 3
NOT_MEASURED = math.inf


@dataclass(frozen=True)
class Bounds:
    """Upper bounds; None means no bound.

    `max_drop` is how much of the score is lost against the source model (of agreement with it, without labels).
    `latency_ratio` is against the source's fp32 file.
    """

    max_drop: float | None = None
    latency_ratio: float | None = None
    encoding_bytes: float | None = None
    peak_rss_mb: float | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))


@dataclass(frozen=True)
class Miss:
    """A bound that a point breaks: by what share of the bound, and in words."""

    constraint: str
    share: float
    sentence: str


@dataclass(frozen=True)
class BoundsVerdict:
    """The points of one class that meet every bound; if none does, the nearest with what each breaks, worst first."""

    feasible: list[Point]
    nearest: list[tuple[Point, list[Miss]]]

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        if self.feasible:
            return f"everything is met by {counted(len(self.feasible), 'point')}"
        if not self.nearest:
            return "nothing was measured"
        near = "; ".join(f"{p.recipe.name}: {', '.join(m.sentence for m in misses)}" for p, misses in self.nearest)
        return f"no point meets everything; nearest: {near}"


def cautious_drop(metrics: Metrics) -> float | None:
    """The drop on val plus one standard error of the paired difference; None if not measured."""
    if metrics.drop_val is None or metrics.drop_val_ci is None:
        return None if metrics.agreement_val is None else 1 - metrics.agreement_val
    low, high = metrics.drop_val_ci
    return metrics.drop_val + (high - low) / (2 * Z_95)


def misses(metrics: Metrics, wanted: Bounds) -> list[Miss]:
    """The bounds that a point breaks, worst first."""
    drop = cautious_drop(metrics)
    lost = "lost on val with a standard error" if metrics.drop_val is not None else "answered otherwise than the source"
    checks: tuple[tuple[str, float | None, float | None, Callable[[float], str], str], ...] = (
        ("max_drop", wanted.max_drop, drop, lambda v: f"{v * 100:.2f} points", lost),
        ("latency_ratio", wanted.latency_ratio, metrics.latency_ratio, lambda v: f"{v:.2f}x", "of the fp32 latency"),
        ("encoding_bytes", wanted.encoding_bytes, metrics.encoding_bytes, lambda v: f"{v:,.0f} bytes", "encoded"),
        ("peak_rss_mb", wanted.peak_rss_mb, metrics.peak_rss_mb, lambda v: f"{v:.1f} MB", "of memory"),
    )
    found = []
    for name, most, value, shown, what in checks:
        if most is None:
            continue
        if value is None:
            found.append(Miss(name, NOT_MEASURED, f"{name} was not measured"))
        elif value > most:
            share = value / most - 1 if most else NOT_MEASURED
            found.append(Miss(name, share, f"{shown(value)} {what}, at most {shown(most)} allowed"))
    return sorted(found, key=lambda miss: (-miss.share, miss.constraint))


def judge(points: Sequence[Point], wanted: Bounds) -> BoundsVerdict:
    """Judge the measured points of one class; the nearest is the one whose worst miss is the smallest share."""
    measured = [(p, misses(p.metrics, wanted)) for p in points if p.metrics is not None]
    feasible = [p for p, broken in measured if not broken]
    if feasible:
        return BoundsVerdict(feasible, [])
    measured.sort(key=lambda pair: (pair[1][0].share, len(pair[1]), pair[0].recipe.name))
    return BoundsVerdict([], measured[:NEAREST])
