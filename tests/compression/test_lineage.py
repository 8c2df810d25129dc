"""What a variant was made of and with is recorded as it is built, and says why a rebuild came out otherwise."""

import shutil
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.outcomes import step

from edgefleet_compression.builds.comparison import compare_answers
from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.lineage import differences
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, CompareRequest
from edgefleet_compression.builds.reproduction import BuiltFile, are_equal, compare, depends_on
from edgefleet_compression.recipes.recipe import recipe_from
from edgefleet_compression.registry import registry
from edgefleet_contract.card import ModelCard
from edgefleet_contract.lineage import Lineage
from edgefleet_contract.operations import AnswerComparison, Change

RECIPE = recipe_from(
    {
        "name": "pruned",
        "title": "t",
        "steps": [
            {"step": "prune_structured", "config": {"ratio": 0.5}},
            {"step": "finetune", "config": {"epochs": 1, "batch": 64}},
            {"step": "export"},
            {"step": "storage_quant"},
        ],
    }
)


class Build(Protocol):
    """Builds a variant of the tiny model by RECIPE."""

    def __call__(self, cache: str, seed: int = 0) -> BuildOutcome: ...


@pytest.fixture(scope="module")
def build(tiny_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Build:
    def built(cache: str, seed: int = 0) -> BuildOutcome:
        work = tmp_path_factory.mktemp("work")
        outcome = build_variant(BuildRequest(tiny_files, RECIPE, "x86-avx2", work.parent / cache, work, seed=seed))
        assert isinstance(outcome, BuildOutcome), outcome
        return outcome

    return built


@pytest.fixture(scope="module")
def first(build: Build) -> BuildOutcome:
    return build("one")


def made(outcome: BuildOutcome, encoding: str = "e") -> BuiltFile:
    return BuiltFile(outcome.steps, str(outcome.steps[-1].digest), encoding)


def test_everything_that_decides_a_variant_is_recorded(first: BuildOutcome, tiny_card: ModelCard) -> None:
    lineage = first.lineage
    assert lineage.files == tiny_card.files
    assert lineage.splits.keys() == {"train", "calib", "val", "test"}
    assert len({*lineage.splits.values()}) == 4
    assert lineage.recipe.steps[0].config == {"ratio": 0.5, "round_to": 8}, "whole settings, defaults as well"
    assert (lineage.seed, lineage.instruction_set, lineage.environment.threads) == (0, "x86-avx2", 1)
    assert lineage.libraries.keys() >= {"torch", "onnxruntime", "zstd", "edgefleet"}
    assert all(len(s.digest or "") == 64 and (s.revision or 0) >= 1 and s.log["made_on"] for s in first.steps)


def test_with_an_empty_cache_the_same_comes_out_bit_by_bit(build: Build, first: BuildOutcome) -> None:
    again = build("two")
    assert not any(step.cached for step in again.steps)
    assert again.lineage == first.lineage
    lineage = first.lineage
    found = compare(lineage, made(first), lineage, made(again), None)
    assert (found.verdict, found.reasons, found.changed) == ("equal", [], {})


@pytest.mark.slow
def test_another_seed_trains_another_network_and_the_first_step_that_differs_is_named(
    build: Build, first: BuildOutcome, tiny_files: dict[str, Path], tmp_path: Path
) -> None:
    other = build("one", seed=1)
    answers = compare_answers(CompareRequest(tiny_files, tmp_path, first.onnx_path, other.onnx_path, {}))
    lineage = first.lineage
    found = compare(lineage, made(first), lineage, made(other), answers)
    assert found.verdict == "different"
    assert "step 2, finetune, made something else" in found.reasons[0]
    assert found.answers and found.answers.samples == 64 and found.answers.largest_difference > 1e-3


def test_a_file_answers_as_its_copy_does(first: BuildOutcome, tiny_files: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copyfile(first.onnx_path, tmp_path / "copy")
    found = compare_answers(CompareRequest(tiny_files, tmp_path, first.onnx_path, copy, {}))
    assert (found.agreement, found.same_top1, found.largest_difference, are_equal(found)) == (1, 64, 0.0, True)


# The rule, by hand.

STEPS = ("finetune", "export", "static_int8")


def lineage_of(first: BuildOutcome, **changed: Any) -> Lineage:
    known = first.lineage
    libraries = {**known.libraries, **changed.pop("libraries", {})}
    environment = known.environment.model_copy(update=changed)
    return known.model_copy(update={"libraries": libraries, "environment": environment})


def three(*digests: str, onnx: str, encoding: str = "e", revision: int = 1) -> BuiltFile:
    steps = [
        step(name).model_copy(update={"digest": d, "revision": revision})
        for name, d in zip(STEPS, digests, strict=True)
    ]
    return BuiltFile(steps, onnx, encoding)


BEFORE = three("a", "b", "c", onnx="c")
SAME = AnswerComparison(samples=64, agreement=1, same_top1=64, largest_difference=1e-6)


@pytest.mark.parametrize(
    ("changes", "equal"),
    [
        ({}, True),
        ({"same_top1": None}, True),
        ({"agreement": 1 - 1e-9}, True),
        ({"agreement": 0.9995}, False),
        ({"agreement": None}, False),
        ({"largest_difference": 0.002}, False),
        ({"largest_difference": None}, False),
    ],
)
def test_answers_are_equal_by_every_sample_and_every_number(changes: dict[str, Any], equal: bool) -> None:
    assert are_equal(SAME.model_copy(update=changes)) == equal


def test_training_on_another_number_of_threads_is_said_to_be_why(first: BuildOutcome) -> None:
    then, now = lineage_of(first), lineage_of(first, threads=2)
    found = compare(
        then,
        BEFORE,
        now,
        three("x", "y", "z", onnx="z"),
        AnswerComparison(samples=64, agreement=63 / 64, same_top1=63, largest_difference=0.1),
    )
    assert found.verdict == "different" and found.changed == {"threads": Change(then=1, now=2)}
    assert found.reasons == [
        "step 1, finetune, made something else, and depends on what has changed: threads was 1, and is 2"
    ]


def test_another_zstd_gives_the_same_answers_in_other_bytes(first: BuildOutcome) -> None:
    then, now = lineage_of(first, libraries={"zstd": "1.5.6"}), lineage_of(first)
    found = compare(then, BEFORE, now, three("a", "b", "c", onnx="c", encoding="f"), SAME)
    assert found.verdict == "equal_answers"
    assert "the encoding has other bytes" in found.reasons[0] and "zstd was 1.5.6" in found.reasons[0]


def test_another_onnxruntime_is_named_for_the_step_that_calibrates_and_not_for_others(first: BuildOutcome) -> None:
    then, now = lineage_of(first, libraries={"onnxruntime": "1.23.0"}), lineage_of(first)
    found = compare(then, BEFORE, now, three("a", "b", "z", onnx="z"), SAME)
    assert found.verdict == "equal_answers"
    assert "step 3, static_int8" in found.reasons[0] and "onnxruntime was 1.23.0" in found.reasons[0]
    assert "onnxruntime" not in depends_on("storage_quant")


def test_a_difference_without_a_cause_is_called_what_it_is(first: BuildOutcome) -> None:
    lineage = lineage_of(first)
    found = compare(lineage, BEFORE, lineage, three("a", "y", "z", onnx="z"), None)
    assert found.verdict == "different", "without the former file nobody can say that the answers are equal"
    assert "not repeatable" in found.reasons[0] and "step 2, export" in found.reasons[0]


def test_a_step_that_means_something_else_by_now_is_told_by_its_revision(first: BuildOutcome) -> None:
    lineage = lineage_of(first)
    found = compare(lineage, BEFORE, lineage, three("x", "y", "z", onnx="z", revision=2), None)
    assert "it was of revision 1, and is of revision 2 now" in found.reasons[0]


def test_every_step_that_trains_depends_on_threads_and_torch() -> None:
    for name, found in registry().steps.items():
        if found.step.trains:
            assert depends_on(name) >= {"torch", "threads", "processor"}, name


def test_libraries_that_one_side_did_not_have_are_a_difference(first: BuildOutcome) -> None:
    assert differences(lineage_of(first), lineage_of(first, libraries={"other": "1"})) == {
        "other": Change(then="none", now="1")
    }
