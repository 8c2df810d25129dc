"""A whole search in real workers: twice, interrupted, with workers that die, and without a network to train."""

import os
import signal
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefleet_compression.builds.progress import read_progress
from edgefleet_compression.builds.worker_pool import Limits, WorkerPool
from edgefleet_compression.cache import Cache
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.search import space
from edgefleet_compression.search.bounds import Bounds
from edgefleet_compression.search.plots import PlotRequest, draw
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.report import report
from edgefleet_compression.search.run import Ground, Runs, SearchStatus, Silence
from edgefleet_compression.search.search import Found, search_folder
from edgefleet_compression.search.space import Space
from edgefleet_compression.search.targets import SearchTarget
from edgefleet_compression.search_roles import PLAIN, step
from edgefleet_compression.steps.distill import student_trunk
from edgefleet_contract.searches import SearchReport

TARGETS = (SearchTarget("x86-avx2"), SearchTarget("x86-vnni"), SearchTarget("arm-neon"))
BUDGET_S = 170.0
TAILS = tuple(tail for tail in space.default_space().tails if tail.name in ("w8", "int8"))
SPACE = Space((student_trunk(16, 2),), TAILS, (("q4", 1.0),), trials=2)
"""Enough for several orders, and tried whole long before the time is up."""


class Heard:
    """Keeps what a search says of itself."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.standings: list[SearchStatus] = []

    def point(self, point: Point) -> None:
        self.points.append(point)

    def standing(self, standing: SearchStatus) -> None:
        self.standings.append(standing)


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def found(tiny_folder: Path, state: Path, heard: Heard) -> Found:
    wanted = Bounds(max_drop=0.0, encoding_bytes=10)
    return search_folder(
        tiny_folder, state, targets=TARGETS, budget_s=BUDGET_S, wanted=wanted, space=SPACE, listener=heard
    )


@pytest.mark.slow
def test_every_point_is_on_a_front_or_has_its_reason(found: Found, heard: Heard) -> None:
    on_front = {p.key for points in found.fronts.values() for p in points}
    assert on_front and all(found.fronts[target.instruction_set] for target in TARGETS)
    assert {p.key for p in found.points if p.rejected is None} == on_front
    assert {p.key for p in heard.points} == {p.key for p in found.points}
    neon = {p.recipe.name: p for p in found.points if p.instruction_set == "arm-neon"}
    assert "may run int8 slower" in str(neon["int8"].rejected)


@pytest.mark.slow
def test_several_orders_are_tried_and_trainings_are_counted_from_the_ledger(found: Found, state: Path) -> None:
    assert {"none", "quantize", "distill", "distill > quantize"} <= found.orders().keys()
    ledger = [line.step for line in Cache(state / "cache").ledger()]
    assert found.executions == {step: ledger.count(step) for step in set(ledger)}
    assert 1 <= found.trainings <= 20


@pytest.mark.slow
def test_how_far_it_is_never_promises_more_time_than_there_is(heard: Heard) -> None:
    assert all(s.elapsed_s + s.left_s == pytest.approx(BUDGET_S, abs=1) for s in heard.standings if s.left_s)
    assert [s.measured + s.rejected for s in heard.standings] == sorted(
        s.measured + s.rejected for s in heard.standings
    )


@pytest.mark.slow
def test_a_second_search_runs_no_step_and_finds_the_same(found: Found, tiny_folder: Path, state: Path) -> None:
    assert found.seconds < BUDGET_S - 5, "the machine was too slow for the first search to try everything"
    again = search_folder(tiny_folder, state, targets=TARGETS, budget_s=BUDGET_S, space=SPACE)
    assert again.executions == {} and again.steps_cached == again.steps == found.steps
    assert {p.key: figures(p) for p in again.points if not p.rejected} == {
        p.key: figures(p) for p in found.points if not p.rejected
    }


@pytest.mark.slow
def test_the_report_comes_out_of_json_as_it_went_in_and_the_fronts_are_pictures(found: Found, tmp_path: Path) -> None:
    said = report(found)
    assert SearchReport.model_validate_json(said.model_dump_json()) == said
    assert said.fronts.keys() == {t.instruction_set for t in TARGETS}
    assert len(said.points) == len({p.recipe.name for p in found.points})
    assert said.constraints["arm-neon"].met_by == []
    assert "encoding_bytes" in said.constraints["arm-neon"].nearest[0].broken
    pictures = draw(PlotRequest(said, tmp_path))
    assert ElementTree.parse(pictures["x86-vnni"]).getroot().tag.endswith("svg")
    again = draw(PlotRequest(said, tmp_path / "again"))
    assert pictures["x86-vnni"].read_bytes() == again["x86-vnni"].read_bytes()


@pytest.fixture
def workers() -> Iterator[WorkerPool]:
    pool = WorkerPool(1, Limits(seconds=200, memory_mb=4000))
    yield pool
    pool.shutdown(cancel_futures=True)


@pytest.fixture
def ground(tiny_files: dict[str, Path], tmp_path: Path, workers: WorkerPool) -> Ground:
    (tmp_path / "work").mkdir()
    return Ground(tiny_files, tmp_path / "cache", tmp_path / "work", workers, tuple(t.instruction_set for t in TARGETS))


@pytest.mark.slow
def test_a_recipe_is_measured_for_each_class_or_says_why_not(ground: Ground) -> None:
    tails = {tail.name: space.recipe(space.SOURCE, tail) for tail in space.default_space().tails}
    runs = Runs(ground, 200, Silence())
    for asked in (
        tails["w8"],
        tails["int8"],
        Recipe(name="no", title="", steps=(step("export", tolerance=1e-12),)),
    ):
        runs.add(asked, 0)
        runs.add(asked, 0)
    runs.run("all")
    found = {(p.recipe.name, p.instruction_set): p for p in runs.points}
    assert len(runs.points) == len(found) == 9
    assert found["w8", "x86-vnni"].metrics == found["w8", "arm-neon"].metrics is not None
    assert found["int8", "x86-avx2"].metrics is not None
    assert "may run int8 slower" in str(found["int8", "arm-neon"].rejected)
    assert "a logit of the file differs" in str(found["no", "x86-avx2"].rejected)


def test_the_most_urgent_goes_first_and_what_the_time_is_too_short_for_says_so(ground: Ground) -> None:
    tails = space.default_space().tails
    runs = Runs(ground, 0.5, Silence())
    for rank, tail in enumerate(tails[:2]):
        runs.add(space.recipe(space.SOURCE, tail), rank)
    runs.run("nothing")
    assert {p.rejected for p in runs.points} == {"out of time: the budget ended before it began"}


def test_a_phase_begins_nothing_once_its_share_of_the_time_is_over(ground: Ground) -> None:
    runs = Runs(ground, 200, Silence())
    ended: list[None] = []
    for number in range(4):
        runs.call("sleep", number, time.sleep, 0.8, ended.append)
    runs.run("a phase of a second", most_s=1.0)
    assert 1 <= len(ended) < 4, "a worker that has to be started first leaves time for one"
    runs.run("the rest")
    assert len(ended) == 4


@pytest.mark.slow  # a build's killed worker is in test_worker_pool.py
def test_a_worker_killed_in_a_step_is_one_rejected_point_and_the_step_is_made_by_the_next(
    ground: Ground, tmp_path: Path
) -> None:
    long = space.trained_for(student_trunk(16, 2), 1000)
    doomed, other = space.recipe(long, PLAIN), space.recipe(space.SOURCE, PLAIN)
    runs = Runs(ground, 200, Silence())
    runs.add(doomed, 0)
    runs.add(other, 1)
    killer = threading.Thread(target=_kill_who_trains, args=(ground.work_dir,))
    killer.start()
    runs.run("one dies")
    killer.join()
    found = {(p.recipe.name, p.instruction_set): p for p in runs.points}
    assert "was killed by SIGKILL" in str(found[doomed.name, "x86-avx2"].rejected)
    assert found[other.name, "x86-avx2"].metrics is not None
    ran = [line.step for line in Cache(ground.cache_dir).ledger()]
    assert ran == ["export"], "what was killed half way is in no ledger and in no cache"


def _kill_who_trains(work: Path) -> None:
    """Kill the only worker once it trains."""
    import psutil

    until = time.monotonic() + 150
    while not any("epoch" in said.text for said in map(read_progress, work.glob("ds16x2-*.progress.json")) if said):
        assert time.monotonic() < until, "the training never began"
        time.sleep(0.05)
    (worker,) = (child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline()))
    os.kill(worker.pid, signal.SIGKILL)


def figures(point: Point) -> dict[str, object]:
    """What was measured of a point; how long its build took is no figure of the file."""
    return {} if point.metrics is None else point.metrics.model_dump(exclude={"build_s"})
