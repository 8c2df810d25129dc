"""The default search on the whole of Fashion-MNIST: how small and how fast within so many minutes, and what it cost.

Nothing is set for this data set: the space, the shares of the budget and the constraints are every search's. Variants
are chosen on val and reported on test; the latency of the chosen ones is taken again when nothing else runs.
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import onnxruntime as ort
from rich.console import Console

from benchmarks.fashion import whole
from benchmarks.latency import latency_to
from benchmarks.result import Result, Row, at_least, at_most
from benchmarks.timing import Comparison, spread
from edgefleet_compression.search.pareto import NOISE
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.run import SearchStatus
from edgefleet_compression.search.search import Found, search_folder
from edgefleet_compression.search.targets import targets_of
from edgefleet_profiles.catalogue import load_catalogue

POINT = 0.01
SMALL_BYTES, GOAL_BYTES, FAST_RATIO = 15_665, 7_832, 0.15
WHOLE_BYTES, WHOLE_RATIO, WHOLE_BOUND = 60_000, 0.30, -0.5
STORED_RATIO = 1.15
TERNARY_POINTS, BINARY_POINTS = 1.5, 3.0
LEAST_MEASURED, LEAST_ORDERS, LEAST_CLASSES, MOST_TRAININGS = 40, 3, 3, 20
Z_95, Z_ONE_SIDED_95 = 1.96, 1.645
LEFT_OVER = {"Cast", "DequantizeLinear", "DequantizeLinearU8"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--budget", type=float, default=45, metavar="MINUTES", help="for each search")
    parser.add_argument("--full", action="store_true", help="three seeds, kept in --state and gone on from")
    parser.add_argument("--state", type=Path, default=Path(".bench/compression"), help="of --full")


def run(options: argparse.Namespace) -> Result:
    """Search, and look at what was found."""
    result = Result()
    with tempfile.TemporaryDirectory(prefix="edgefleet-compression-") as scratch:
        state = options.state if options.full else Path(scratch)
        folder = whole(state / "model")
        founds = [_search(folder, state, options.budget, seed) for seed in range(3 if options.full else 1)]
        _report(founds, result)
    return result


def _search(folder: Path, state: Path, minutes: float, seed: int) -> Found:
    return search_folder(
        folder,
        state / f"seed-{seed}",
        targets=targets_of(load_catalogue().board_profiles()),
        budget_s=minutes * 60,
        seed=seed,
        listener=_Lines(),
    )


class _Lines:
    """A line for each phase, and for each point."""

    def __init__(self) -> None:
        self._console, self._phase = Console(), ""

    def point(self, point: Point) -> None:
        metrics = point.metrics
        told = point.rejected or "measured"
        if metrics is not None and metrics.accuracy_val is not None:
            told = f"val {metrics.accuracy_val:.2%}, {metrics.encoding_bytes:,} bytes, x{metrics.latency_ratio}"
        self._console.print(f"  {point.recipe.name} for {point.instruction_set}: {told}")

    def standing(self, standing: SearchStatus) -> None:
        if standing.phase != self._phase:
            self._phase = standing.phase
            self._console.print(f"{standing.elapsed_s:5.0f} s: {standing.phase}")


# ---- choosing, on val ---------------------------------------------------------------------------------------------


def _error(ci: tuple[float, float]) -> float:
    """The standard error behind a 95 % interval."""
    return (ci[1] - ci[0]) / (2 * Z_95)


def _near(point: Point) -> bool:
    """At most one point below the teacher on val, with one standard error to spare."""
    m = point.metrics
    return (
        m is not None
        and m.drop_val is not None
        and m.drop_val_ci is not None
        and (m.drop_val + _error(m.drop_val_ci) <= POINT)
    )


def _bytes(point: Point) -> float:
    return float(point.metrics.encoding_bytes or math.inf) if point.metrics else math.inf


def _ratio(point: Point) -> float:
    return float(point.metrics.latency_ratio or math.inf) if point.metrics else math.inf


def _measured(found: Found) -> list[Point]:
    """Every point that has figures, whatever came of it later."""
    return [point for point in found.points if point.metrics is not None and point.built is not None]


def _fastest(points: Sequence[Point]) -> Point | None:
    """The most accurate on val of those whose latency is the least within what two measurements differ by."""
    least = min(map(_ratio, points), default=math.inf)
    return _best([p for p in points if _ratio(p) <= least * (1 + NOISE["latency"])], _drop_val)


def _best(points: Sequence[Point], key: Callable[[Point], float]) -> Point | None:
    return min(points, key=key, default=None)


# ---- reporting, on test -------------------------------------------------------------------------------------------


def _report(founds: list[Found], result: Result) -> None:
    small = [_best([p for p in _measured(f) if _near(p)], _bytes) for f in founds]
    fast = [_fastest([p for p in _measured(f) if _near(p)]) for f in founds]
    level = [
        _best([p for p in _measured(f) if _bytes(p) <= WHOLE_BYTES and _ratio(p) <= WHOLE_RATIO], _drop_val)
        for f in founds
    ]
    again = {"small": small, "fast": fast, "whole": level}
    ratios = {name: [_timed(f, p, result) for f, p in zip(founds, ps, strict=True)] for name, ps in again.items()}
    for name, points in again.items():
        for found, point, ratio in zip(founds, points, ratios[name], strict=True):
            result.rows.append(_row(name, found.ask.seed, point, ratio))
    result.bars += [
        at_most("small: encoding, bytes, worst seed", SMALL_BYTES, _worst(small, _bytes)),
        at_most("small: goal, bytes, worst seed", GOAL_BYTES, _worst(small, _bytes)),
        at_most("small: points below the teacher on test, mean of seeds", 1.0, _mean(small, _lost)),
        at_most("fast: latency to fp32, worst seed", FAST_RATIO, _worst_of(ratios["fast"])),
        at_most("fast: points below the teacher on test, mean of seeds", 1.0, _mean(fast, _lost)),
        at_least("whole: 95 % lower bound of variant less teacher, points", WHOLE_BOUND, _mean(level, _lower_bound)),
        at_most("whole: encoding, bytes", WHOLE_BYTES, _worst(level, _bytes)),
        at_most("whole: latency to fp32", WHOLE_RATIO, _worst_of(ratios["whole"])),
    ]
    _stored(founds[0], small[0], result)
    for levels, limit in (("ternary", TERNARY_POINTS), ("binary", BINARY_POINTS)):
        result.bars.append(at_most(f"{levels}: points below the student in fp32, test", limit, _few(founds[0], levels)))
    _cost(founds, result)
    result.rows += [{"seed": f.ask.seed, "points": len(f.points), "repeats": _brief(f)} for f in founds]


def _brief(found: Found) -> dict[str, list[str]]:
    """Every point in a line, by class: recipe, val, test, bytes, latency to fp32, and why it was rejected."""
    lines: dict[str, list[str]] = {}
    for point in found.points:
        metrics = point.metrics
        figures = [point.recipe.name]
        if metrics:
            measured = (metrics.accuracy_val, metrics.accuracy_test, metrics.encoding_bytes, metrics.latency_ratio)
            figures += ["-" if figure is None else f"{figure:.6g}" for figure in measured]
        lines.setdefault(point.instruction_set, []).append(" ".join([*figures, point.rejected or "on the front"]))
    return lines


def _row(name: str, seed: int, point: Point | None, ratio: Comparison | None) -> Row:
    row: Row = {"bar": name, "seed": seed, "recipe": point.recipe.name if point else "none"}
    metrics = point.metrics if point else None
    return row | {
        "val": metrics.accuracy_val if metrics else None,
        "test": metrics.accuracy_test if metrics else None,
        "below teacher, points": _lost(point) if point else None,
        "encoding bytes": metrics.encoding_bytes if metrics else None,
        "latency to fp32": spread(ratio.ratios) if ratio else None,
        "A/A": ratio.aa if ratio else None,
        "order": point.order if point else None,
    }


def _drop_val(point: Point) -> float:
    return point.metrics.drop_val if point.metrics and point.metrics.drop_val is not None else math.inf


def _lost(point: Point) -> float | None:
    metrics = point.metrics
    return None if metrics is None or metrics.drop_test is None else 100 * metrics.drop_test


def _lower_bound(point: Point) -> float | None:
    metrics = point.metrics
    if metrics is None or metrics.drop_test is None or metrics.drop_test_ci is None:
        return None
    return -100 * (metrics.drop_test + Z_ONE_SIDED_95 * _error(metrics.drop_test_ci))


def _mean(points: Sequence[Point | None], figure: Callable[[Point], float | None]) -> float | None:
    found = [figure(point) if point else None for point in points]
    known = [one for one in found if one is not None]
    return statistics.mean(known) if len(known) == len(found) else None


def _worst(points: Sequence[Point | None], figure: Callable[[Point], float]) -> float | None:
    return None if None in points else max(figure(point) for point in points if point)


def _worst_of(ratios: Sequence[Comparison | None]) -> float | None:
    medians = [statistics.median(ratio.ratios) for ratio in ratios if ratio]
    return max(medians) if len(medians) == len(ratios) else None


def _few(found: Found, levels: str) -> float | None:
    """How far the best network of so few levels, by val, is below the same student in fp32, in points of test."""
    low = _best([p for p in _measured(found) if _levels(p) == levels], _drop_val)
    if low is None or low.metrics is None:
        return None
    at = next(i for i, spec in enumerate(low.recipe.steps) if spec.step == "qat_weights")
    student = [p for p in _measured(found) if p.recipe.steps[:-1] == low.recipe.steps[:at] and p.metrics]
    if not student or student[0].metrics is None or student[0].metrics.accuracy_test is None:
        return None
    return 100 * (student[0].metrics.accuracy_test - (low.metrics.accuracy_test or 0.0))


def _levels(point: Point) -> str | None:
    found = [spec.config.get("levels") for spec in point.recipe.steps if spec.step == "qat_weights"]
    return str(found[0]) if found and found[0] else None


def _cost(founds: Sequence[Found], result: Result) -> None:
    first = founds[0]
    measured = _measured(first)
    result.rows.append(
        {
            "search": "cost",
            "minutes": first.seconds / 60,
            "points measured": len(measured),
            "rejected without figures": len(first.points) - len(measured),
            "orders": len(first.orders()),
            "classes": len({point.instruction_set for point in measured}),
            "trainings": first.trainings,
        }
    )
    result.bars += [
        at_least("cost: points measured", LEAST_MEASURED, len(measured)),
        at_least("cost: orders", LEAST_ORDERS, len(first.orders())),
        at_least("cost: classes", LEAST_CLASSES, len({point.instruction_set for point in measured})),
        at_most("cost: steps that ran an optimizer", MOST_TRAININGS, first.trainings),
    ]


# ---- latency, taken again in peace ---------------------------------------------------------------------------------


def _file(point: Point) -> Path:
    assert point.built is not None  # as of every measured point
    return point.built.onnx_path


def _timed(found: Found, point: Point | None, result: Result) -> Comparison | None:
    """The ratio of a variant to the teacher's fp32 file."""
    return latency_to(_file(point), _file(_source(found)), result) if point else None


def _source(found: Found) -> Point:
    return next(p for p in _measured(found) if p.recipe.name == "fp32")


def _stored(found: Found, point: Point | None, result: Result) -> None:
    """The smallest variant beside its own graph with weights in fp32, and what is left in it of the unfolding."""
    ratio: float | None = None
    left: float | None = None
    if point is not None:
        with tempfile.TemporaryDirectory(prefix="edgefleet-optimized-") as folder:
            plain = _optimized(_file(point), Path(folder) / "plain.onnx")
            left = sum(node.op_type in LEFT_OVER for node in onnx.load(plain).graph.node)
            ratio = statistics.median(latency_to(_file(point), plain, result).ratios)
    result.bars += [
        at_most("stored: latency to its own graph with fp32 weights", STORED_RATIO, ratio),
        at_most("stored: Cast or DequantizeLinear in the optimized graph", 0, left),
    ]


def _optimized(path: Path, to: Path) -> Path:
    """The file as onnxruntime runs it, written down: weights are unfolded in it."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(to)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return to
