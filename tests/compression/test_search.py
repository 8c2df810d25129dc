"""A search over recipes: what it tries next, what it keeps, and why each other point is out."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from edgefleet_compression.metrics import Metrics
from edgefleet_compression.recipe import Recipe
from edgefleet_compression.search import rounds, space
from edgefleet_compression.search.pareto import beaten_by, front
from edgefleet_compression.search.points import Point, order_of
from edgefleet_compression.search.rounds import Means
from edgefleet_compression.search.run import Ground, measure_all
from edgefleet_compression.search.space import Trunk
from edgefleet_compression.signatures import SIGNATURES
from edgefleet_compression.worker import warm_worker


def recipe(name: str, *steps: str) -> Recipe:
    return Recipe(name=name, title=name, steps=tuple(space.step(s) for s in (*steps, "export")))


def point(name: str, accuracy: float, latency: float, size: int, rejected: str | None = None) -> Point:
    metrics = Metrics(accuracy_val=accuracy, latency_ratio=latency, encoding_bytes=size)
    return Point(recipe(name), "x86-vnni", metrics, rejected)


def names(points: list[Point]) -> set[str]:
    return {p.recipe.name for p in points}


def test_a_front_keeps_what_nothing_beats_in_everything() -> None:
    points = [point("exact", 0.93, 1.0, 900), point("small", 0.91, 0.2, 20), point("poor", 0.90, 0.9, 800)]
    assert names(front(points)) == {"exact", "small"}
    beaten = beaten_by(points[2], front(points))
    assert beaten is not None and beaten.recipe.name == "small"


def test_a_latency_within_the_noise_beats_nobody() -> None:
    assert names(front([point("one", 0.93, 0.98, 900), point("other", 0.93, 1.0, 900)])) == {"one", "other"}


def test_rejected_points_and_points_without_figures_are_on_no_front() -> None:
    points = [point("stopped", 0.99, 0.1, 1, "stopped early"), Point(recipe("failed"), "x86-vnni", rejected="failed")]
    assert front([*points, point("kept", 0.9, 1.0, 900)]) == [point("kept", 0.9, 1.0, 900)]


@pytest.mark.parametrize(
    ("steps", "order"),
    [
        ((), "none"),
        (("distill", "qat_weights", "tune_norms"), "distill > qat"),
        (("prune_structured", "prune_unstructured", "finetune"), "prune > finetune"),
    ],
)
def test_an_order_names_each_technique_where_it_was_applied(steps: tuple[str, ...], order: str) -> None:
    assert order_of(recipe("r", *steps)) == order


def test_every_step_of_the_default_space_has_its_technique_or_is_none() -> None:
    trunks = [space.SOURCE, *rounds.scouts()]
    recipes = [space.recipe(t, tail) for t in trunks for tail in space.without_training()]
    recipes += [space.recipe(t, tail) for t in rounds.scouts() for tail in space.low_bits(3, 2)]
    assert len({r.name for r in recipes}) == len({r.digest for r in recipes}) == len(recipes)
    assert len({order_of(r) for r in recipes}) >= 5


def test_networks_worth_training_are_spread_from_the_smallest_to_the_best() -> None:
    trunks = [Trunk(f"t{n}", "", (), 2) for n in range(6)]
    scouted = {f"t{n}": point(f"t{n}", 0.80 + n / 50, 0.1 + n / 10, 1000 * (n + 1)) for n in range(5)}
    scouted["t5"] = point("t5", 0.80, 0.9, 9000)
    assert [t.name for t in rounds.worth_training(trunks, scouted, 3)] == ["t0", "t2", "t4"]


def test_epochs_fit_the_time_that_is_left_and_its_bounds() -> None:
    trunks = space.students(2, widths=(16, 32), depths=(0,))
    pace = {trunk.name: 20.0 for trunk in trunks}
    hour = rounds.in_full(trunks, pace, Means(workers=2, left_s=1000))
    assert [trunk.epochs for trunk in hour] == [27, 27]
    assert all(s.config["epochs"] == 27 for t in hour for s in t.steps if SIGNATURES[s.step].trains)
    assert {t.epochs for t in rounds.in_full(trunks, pace, Means(2, 1))} == {rounds.LEAST_EPOCHS}
    assert {t.epochs for t in rounds.in_full(trunks, pace, Means(2, 1e6))} == {rounds.MOST_EPOCHS}


@pytest.fixture
def ground(tiny_files: dict[str, str], tmp_path: Path) -> Iterator[Ground]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=warm_worker) as pool:
        yield Ground(tiny_files, tmp_path / "cache", tmp_path / "work", pool, ("x86-vnni", "x86-avx2", "arm-neon"))


def test_a_recipe_is_measured_for_each_class_or_says_why_not(ground: Ground, tmp_path: Path) -> None:
    tails = {tail.name: space.recipe(space.SOURCE, tail) for tail in space.without_training()}
    broken = Recipe(name="broken", title="", steps=(space.step("export", tolerance=1e-12),))
    heard: list[Point] = []
    points = measure_all([tails["w8"], tails["int8"], broken], ground, None, float("inf"), heard.append)
    assert points == heard and len(points) == 9
    found = {(p.recipe.name, p.instruction_set): p for p in points}
    assert found["w8", "x86-vnni"].metrics == found["w8", "arm-neon"].metrics is not None
    assert found["int8", "x86-avx2"].metrics is not None
    assert "may run int8 slower" in str(found["int8", "arm-neon"].rejected)
    assert "a logit of the file differs" in str(found["broken", "x86-avx2"].rejected)
