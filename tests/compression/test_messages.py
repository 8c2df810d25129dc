"""What crosses to a worker and back: our own types, whole on both sides, and every failure with its reason."""

import errno
import pickle
from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.outcomes import outcome

from edgefleet_compression import errors
from edgefleet_compression.builds.messages import (
    BuildRequest,
    CompareRequest,
    RefusalReason,
    SourceRequest,
    WorkRefused,
)
from edgefleet_compression.builds.refusals import refusal_of, refusing, settled
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_contract.errors import CardError

FILES = {"model.toml": Path("/models/model.toml")}
CACHE = Path("/cache")


@pytest.mark.parametrize(
    "message",
    [
        SourceRequest(FILES, CACHE),
        BuildRequest(FILES, shipped_recipes()["student-w5"], "x86-vnni", CACHE, Path("/work"), seed=3),
        CompareRequest(FILES, CACHE, Path("one.onnx"), Path("other.onnx"), {"session.dynamic_block_base": "4"}),
        outcome(),
        WorkRefused("full_disk", "the disk is full"),
    ],
)
def test_a_message_comes_out_of_a_pipe_as_it_went_in(message: object) -> None:
    assert pickle.loads(pickle.dumps(message)) == message


@pytest.mark.parametrize(
    ("error", "reason", "sentence"),
    [
        (errors.NothingChanged("fp16: nothing\nto do"), "nothing_changed", "fp16: nothing to do"),
        (errors.StepError("s"), "step_failed", "s"),
        (errors.NotApplicable("s"), "not_applicable", "s"),
        (errors.RecipeError("s"), "bad_recipe", "s"),
        (errors.DeclarationError("s"), "bad_step", "s"),
        (CardError("s"), "bad_model", "s"),
        (errors.GraphError("s"), "bad_model", "s"),
        (errors.ArchitectureError("s"), "bad_model", "s"),
        (errors.DataError("s"), "bad_data", "s"),
        (errors.MeasureError("s"), "not_measured", "s"),
        (errors.WorkerLostError("s"), "worker_lost", "s"),
        (errors.WorkerTimeoutError("s"), "timed_out", "s"),
        (errors.WorkerMemoryError("s"), "out_of_memory", "s"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "full_disk",
            "the disk is full: make room for the controller's state folder, then compress again",
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "not_installed",
            "torch is not installed: pip install 'edgefleet[compression]', then compress again",
        ),
        (MemoryError(), "out_of_memory", "unexpected MemoryError (): report it with the recipe and the model card"),
        (
            KeyError("w"),
            "unexpected",
            "unexpected KeyError ('w'): report it with the recipe and the model card",
        ),
    ],
)
def test_an_error_is_refused_for_its_reason_in_one_line(error: Exception, reason: RefusalReason, sentence: str) -> None:
    assert refusal_of(error) == WorkRefused(reason, sentence)


def kinds(root: type[Exception]) -> set[type[Exception]]:
    return {root}.union(*(kinds(kind) for kind in root.__subclasses__()))


def test_every_error_of_a_worker_has_a_reason_of_its_own() -> None:
    elsewhere = {errors.CompressionError, errors.SearchError}
    unknown = [e for e in kinds(errors.CompressionError) - elsewhere if refusal_of(e("s")).reason == "unexpected"]
    assert unknown == []


@refusing
def halve(number: int) -> float:
    """Refuses odd numbers."""
    if number % 2:
        raise errors.DataError(f"{number} is odd")
    return number / 2


def test_an_entry_point_returns_what_it_would_raise_and_is_found_by_its_name() -> None:
    assert (halve(4), halve(3)) == (2.0, WorkRefused("bad_data", "3 is odd"))
    assert halve.__name__ == "halve" and halve.__doc__ == "Refuses odd numbers."


def test_what_a_worker_refused_and_what_it_was_lost_with_are_told_alike() -> None:
    given: Future[float | WorkRefused] = Future()
    given.set_result(halve(3))
    lost: Future[float | WorkRefused] = Future()
    lost.set_exception(errors.WorkerTimeoutError("its worker process took longer than 6 s"))
    cancelled: Future[float | WorkRefused] = Future()
    cancelled.cancel()
    reasons = [found.reason for found in map(settled, (given, lost, cancelled)) if isinstance(found, WorkRefused)]
    assert reasons == ["bad_data", "timed_out", "stopped"]
