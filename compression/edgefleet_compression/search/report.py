"""What a search found, as plain values for JSON and tables; a recipe stands once, with what each class says of it."""

from typing import Any

from edgefleet_compression.search.points import Point
from edgefleet_compression.search.search import Found
from edgefleet_compression.search.targets import SearchTarget

FIGURES = (
    "accuracy_val",
    "accuracy_test",
    "accuracy_test_ci",
    "drop_val",
    "drop_val_ci",
    "drop_test",
    "drop_test_ci",
    "agreement_val",
    "agreement",
    "latency_ratio",
    "p50_ms",
    "encoding_bytes",
    "file_bytes",
    "parameters",
    "peak_rss_mb",
    "measured_on",
)


def report(found: Found) -> dict[str, Any]:
    """All of a search: what was asked, the front of each class, the table of orders, and every point.

    Accuracies ending in `_val` are those that choices were made by, those in `_test` are only reported; drops are the
    source's right answers beyond the variant's, with the 95 % interval of the paired difference.
    """
    targets = {target.instruction_set: target for target in found.ask.targets}
    return {
        "budget_s": found.ask.budget_s,
        "seed": found.ask.seed,
        "seconds": round(found.seconds, 1),
        "measured": sum(p.metrics is not None for p in found.points),
        "executions": found.executions,
        "trainings": found.trainings,
        "steps": {"run": sum(found.executions.values()), "cached": found.steps_cached},
        "fronts": {one: [_row(p, targets[one]) for p in points] for one, points in found.fronts.items()},
        "orders": {
            order: {one: {"recipe": p.recipe.name, "quality": p.quality} for one, p in row.items()}
            for order, row in found.orders().items()
        },
        "constraints": {
            one: {
                "met_by": [p.recipe.name for p in verdict.feasible],
                "nearest": [
                    {"recipe": p.recipe.name, "broken": {m.constraint: m.sentence for m in missed}}
                    for p, missed in verdict.nearest
                ],
                "sentence": verdict.sentence,
            }
            for one, verdict in found.verdicts.items()
        },
        "points": _points(found, targets),
    }


def _points(found: Found, targets: dict[Any, SearchTarget]) -> list[dict[str, Any]]:
    by_recipe: dict[str, dict[str, Any]] = {}
    for point in found.points:
        entry = by_recipe.setdefault(
            point.recipe.name,
            {
                "recipe": point.recipe.name,
                "title": point.recipe.title,
                "order": point.order,
                "steps": point.recipe.model_dump(mode="json")["steps"],
                "classes": {},
            },
        )
        row = _row(point, targets[point.instruction_set])
        entry["classes"][point.instruction_set] = {k: v for k, v in row.items() if k not in ("recipe", "order")}
    return list(by_recipe.values())


def _row(point: Point, target: SearchTarget) -> dict[str, Any]:
    row: dict[str, Any] = {"recipe": point.recipe.name, "order": point.order, "rejected": point.rejected}
    if point.metrics is None:
        return row
    latency_ms, latency = target.latency_ms(point.metrics)
    energy_mj, energy = target.energy_mj(point.metrics)
    figures = point.metrics.model_dump(mode="json", include=set(FIGURES))
    return {
        **row,
        **figures,
        "latency_ms": latency_ms,
        "latency_is": latency,
        "energy_mj": energy_mj,
        "energy_is": energy,
    }
