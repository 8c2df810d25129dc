"""The report of a search as the API shows it; each recipe once, with the figures of each class."""

from edgefleet_compression.search.bounds import BoundsVerdict
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.search import Found
from edgefleet_compression.search.targets import SearchTarget
from edgefleet_contract.operations import StepCounts
from edgefleet_contract.recipes import StepTable
from edgefleet_contract.searches import BestOfOrder, BoundsView, Figures, FrontPoint, Nearest, SearchReport, TriedRecipe
from edgefleet_profiles.device_class import InstructionSet

Targets = dict[InstructionSet, SearchTarget]


def report(found: Found) -> SearchReport:
    """Report a search: its settings, the front of each class, the table of orders, and every recipe."""
    targets = {target.instruction_set: target for target in found.ask.targets}
    measured = [p.metrics for p in found.points if p.metrics is not None]
    return SearchReport(
        measure=measured[0].measure if measured else None,
        headlined=measured[0].headlined if measured else None,
        budget_s=found.ask.budget_s,
        seed=found.ask.seed,
        seconds=round(found.seconds, 1),
        measured=len(measured),
        executions=found.executions,
        trainings=found.trainings,
        steps=StepCounts(run=sum(found.executions.values()), cached=found.steps_cached),
        fronts={one: [_front_point(p, targets[one]) for p in points] for one, points in found.fronts.items()},
        orders={
            order: {one: BestOfOrder(recipe=p.recipe.name, quality=p.quality) for one, p in row.items()}
            for order, row in found.orders().items()
        },
        constraints={one: _bounds(verdict) for one, verdict in found.verdicts.items()},
        points=_tried(found, targets),
    )


def _bounds(verdict: BoundsVerdict) -> BoundsView:
    return BoundsView(
        met_by=[p.recipe.name for p in verdict.feasible],
        nearest=[
            Nearest(recipe=p.recipe.name, broken={m.constraint: m.sentence for m in missed})
            for p, missed in verdict.nearest
        ],
        sentence=verdict.sentence,
    )


def _tried(found: Found, targets: Targets) -> list[TriedRecipe]:
    by_recipe: dict[str, list[Point]] = {}
    for point in found.points:
        by_recipe.setdefault(point.recipe.name, []).append(point)
    return [
        TriedRecipe(
            recipe=name,
            title=points[0].recipe.title,
            order=points[0].order,
            steps=[StepTable(step=s.step, config=s.config) for s in points[0].recipe.steps],
            classes={p.instruction_set: _figures(p, targets[p.instruction_set]) for p in points},
        )
        for name, points in by_recipe.items()
    ]


def _figures(point: Point, target: SearchTarget) -> Figures:
    """Why a point is out, and its figures if it was measured."""
    m = point.metrics
    if m is None:
        return Figures(rejected=point.rejected)
    latency_ms, latency_is = target.latency_ms(m)
    energy_mj, energy_is = target.energy_mj(m)
    return Figures(
        rejected=point.rejected,
        score_val=m.score_val,
        score_test=m.score_test,
        score_test_ci=m.score_test_ci,
        headline_val=m.headline_val,
        headline_test=m.headline_test,
        accuracy_val=m.accuracy_val,
        accuracy_test=m.accuracy_test,
        accuracy_test_ci=m.accuracy_test_ci,
        drop_val=m.drop_val,
        drop_val_ci=m.drop_val_ci,
        drop_test=m.drop_test,
        drop_test_ci=m.drop_test_ci,
        agreement_val=m.agreement_val,
        agreement=m.agreement,
        latency_ratio=m.latency_ratio,
        p50_ms=m.p50_ms,
        encoding_bytes=m.encoding_bytes,
        file_bytes=m.file_bytes,
        parameters=m.parameters,
        peak_rss_mb=m.peak_rss_mb,
        measured_on=m.measured_on,
        latency_ms=latency_ms,
        latency_is=latency_is,
        energy_mj=energy_mj,
        energy_is=energy_is,
    )


def _front_point(point: Point, target: SearchTarget) -> FrontPoint:
    return FrontPoint(recipe=point.recipe.name, order=point.order, **dict(_figures(point, target)))
