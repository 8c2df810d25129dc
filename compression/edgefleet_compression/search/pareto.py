"""The Pareto front: points that no other point dominates."""

from collections.abc import Callable, Mapping, Sequence

from edgefleet_compression.search.points import Point
from edgefleet_contract.metrics import Metrics

Cost = Callable[[Metrics], float | None]

OBJECTIVES: dict[str, Cost] = {
    "score": lambda m: None if m.score_val is None else 1 - m.score_val,
    "agreement": lambda m: None if m.agreement_val is None else 1 - m.agreement_val,
    "latency": lambda m: m.latency_ratio if m.latency_ratio is not None else m.p50_ms,
    "encoding_bytes": lambda m: m.encoding_bytes,
    "memory": lambda m: m.peak_rss_mb,
    "energy": lambda m: m.mj_per_inference,
}
"""The objectives of a front as costs to minimize; None if not measured."""

NOISE: Mapping[str, float] = {"latency": 0.10, "memory": 0.05, "energy": 0.10}
"""Two measurements within this share of each other count as equal."""


def costs(point: Point) -> dict[str, float]:
    """The measured objectives of a point; agreement stands in for the score where that is unknown.

    A file made for another instruction set than this host's has no latency: its time here says nothing about the
    processors it was made for.
    """
    metrics = point.metrics
    if metrics is None:
        return {}
    found = {name: value for name, cost in OBJECTIVES.items() if (value := cost(metrics)) is not None}
    if "score" in found:
        found.pop("agreement", None)
    if "scheme" in point.recipe.needs and metrics.instruction_set not in (None, point.instruction_set):
        for name in ("latency", "energy"):
            found.pop(name, None)
    return found


def dominates(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether `one` is no worse in any objective and better in one, beyond noise; never if their objectives differ."""
    if one.keys() != other.keys():
        return False
    no_worse = all(one[k] <= other[k] * (1 + NOISE.get(k, 0.0)) for k in one)
    return no_worse and any(one[k] < other[k] * (1 - NOISE.get(k, 0.0)) for k in one)


def front(points: Sequence[Point]) -> list[Point]:
    """The measured points of one class that no other dominates, best score first; without rejected ones."""
    measured = [(p, costs(p)) for p in points if p.metrics is not None and p.rejected is None]
    kept = [(p, c) for p, c in measured if not any(dominates(other, c) for q, other in measured if q is not p)]
    return [p for p, _ in sorted(kept, key=lambda pair: (*pair[1].values(), pair[0].recipe.name))]


def beaten_by(point: Point, points: Sequence[Point]) -> Point | None:
    """A point that dominates `point`, to name when rejecting it; None if none does."""
    if point.metrics is None:
        return None
    mine = costs(point)
    return next((p for p in points if p.metrics is not None and dominates(costs(p), mine)), None)


def smallest(points: Sequence[Point]) -> list[Point]:
    """The measured points of one class that no other beats in both answers and bytes; without rejected ones.

    Neither timings nor the order of arrival count, so the same builds give the same points.
    """
    known = [
        ((-p.quality, p.metrics.encoding_bytes), p)
        for p in points
        if p.rejected is None and p.quality is not None and p.metrics and p.metrics.encoding_bytes is not None
    ]
    found: list[Point] = []
    fewest = float("inf")
    for (_, size), point in sorted(known, key=lambda entry: (entry[0], entry[1].recipe.name)):
        if size < fewest:
            found.append(point)
            fewest = size
    return found
