"""Carry a search out: rounds of recipes go to workers, what they measured comes back as points."""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefleet_compression.build import build_variant
from edgefleet_compression.metrics import Metrics
from edgefleet_compression.recipe import Recipe
from edgefleet_compression.schemes import NO_SCHEME, scheme_for
from edgefleet_compression.search.points import Point
from edgefleet_profiles.device_class import InstructionSet

Heard = Callable[[Point], None]


@dataclass(frozen=True)
class Ground:
    """What every build of a search shares: the model's files, cache, scratch folder, workers, classes and seed."""

    files: dict[str, str]
    cache_dir: Path
    work_dir: Path
    executor: Executor
    classes: tuple[InstructionSet, ...]
    seed: int = 0


def measure_all(
    recipes: Sequence[Recipe], ground: Ground, reference: Path | None, until_s: float, heard: Heard
) -> list[Point]:
    """Build and measure recipes for each class, as many at a time as there are workers.

    A recipe without a scheme is one build for all classes; one with it is built for each class's own.

    Args:
        recipes: what to build.
        ground: what to build it with.
        reference: the source's fp32 file, to time against; None while there is none.
        until_s: when to stop beginning new builds, by time.monotonic; those are rejected as out of time.
        heard: told of each point as it comes.
    """
    ground.work_dir.mkdir(parents=True, exist_ok=True)
    points: list[Point] = []
    waiting: dict[Future[dict[str, Any]], tuple[Recipe, tuple[InstructionSet, ...], float]] = {}
    for recipe in recipes:
        for classes in _classes(recipe, ground.classes):
            if "scheme" in recipe.needs and scheme_for(classes[0]) is None:
                points.append(Point(recipe, classes[0], rejected=NO_SCHEME[classes[0]]))
                heard(points[-1])
                continue
            request = _request(recipe, classes[0], ground, reference)
            future = ground.executor.submit(build_variant, request)
            waiting[future] = (recipe, classes, time.monotonic())
    for future in as_completed(waiting):
        recipe, classes, began_s = waiting[future]
        for point in _points(recipe, classes, _outcome(future), time.monotonic() - began_s):
            points.append(point)
            heard(point)
        if time.monotonic() > until_s:
            for late in waiting:
                late.cancel()
    return points


def _classes(recipe: Recipe, classes: tuple[InstructionSet, ...]) -> list[tuple[InstructionSet, ...]]:
    """The groups of classes that one build serves."""
    return [(one,) for one in classes] if "scheme" in recipe.needs else [classes]


def _request(recipe: Recipe, instruction_set: InstructionSet, ground: Ground, reference: Path | None) -> dict[str, Any]:
    folder = ground.work_dir / f"{recipe.name}-{instruction_set}"
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "files": ground.files,
        "recipe": recipe.model_dump(mode="json"),
        "instruction_set": instruction_set,
        "cache_dir": str(ground.cache_dir),
        "work_dir": str(folder),
        "progress_path": str(folder.with_suffix(".progress.json")),
        "reference": None if reference is None else str(reference),
        "seed": ground.seed,
    }


def _outcome(future: Future[dict[str, Any]]) -> dict[str, Any]:
    if future.cancelled():
        return {"ok": False, "error": "out of time: the budget ended before it was begun"}
    try:
        return future.result()
    except Exception as error:
        return {"ok": False, "error": f"its worker died ({type(error).__name__}): out of memory, or killed"}


def _points(
    recipe: Recipe, classes: tuple[InstructionSet, ...], outcome: dict[str, Any], seconds: float
) -> list[Point]:
    if not outcome["ok"]:
        return [Point(recipe, one, rejected=str(outcome["error"]), seconds=seconds) for one in classes]
    metrics = Metrics.model_validate(outcome["metrics"])
    return [Point(recipe, one, metrics, steps=tuple(outcome["steps"]), seconds=seconds) for one in classes]
