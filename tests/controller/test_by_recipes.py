"""What is said of builds while they run."""

from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.outcomes import outcome

from edgefleet_compression.builds.messages import BuildOutcome, WorkRefused
from edgefleet_compression.errors import WorkerLostError
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_contract.operations import BuildProgress
from edgefleet_controller.models.by_recipes import RunningBuild, progress_of
from edgefleet_controller.models.needs import NeededVariant


@pytest.fixture
def build(tmp_path: Path) -> RunningBuild:
    """A build whose worker has done all of its steps."""
    said = BuildProgress(recipe="fp32", fraction=1.0, text="done")
    (tmp_path / "0.progress.json").write_text(said.model_dump_json())
    return RunningBuild(
        NeededVariant(shipped_recipes()["fp32"], "x86-avx2", None), tmp_path / "0.progress.json", Future()
    )


def test_a_build_is_done_when_its_record_is_and_not_with_its_last_step(build: RunningBuild) -> None:
    before = progress_of([build], 1.0)[0]
    assert before.fraction < 1 and before.text.startswith("0 of 1")
    build.future.set_result(outcome())
    after = progress_of([build], 1.0)[0]
    assert (after.fraction, after.text) == (1.0, "1 of 1")


def test_a_build_that_has_not_begun_waits(tmp_path: Path) -> None:
    waiting: Future[BuildOutcome | WorkRefused] = Future()
    need = NeededVariant(shipped_recipes()["int8"], "x86-vnni", "x86-vnni")
    entry = progress_of([RunningBuild(need, tmp_path / "none", waiting)], 1.0)[1]
    assert (entry.recipe, entry.fraction, entry.text) == ("int8 (x86-vnni)", 0.0, "waiting")


def test_a_build_that_was_refused_or_lost_its_worker_is_shown_as_not_built(build: RunningBuild) -> None:
    build.future.set_result(WorkRefused("bad_data", "the data file has no x_val: add the split"))
    assert progress_of([build], 1.0)[1].text == "not built"
    lost = RunningBuild(build.need, build.progress_path, Future())
    lost.future.set_exception(WorkerLostError("its worker process ended with code 3"))
    assert progress_of([lost], 1.0)[1].text == "not built"
