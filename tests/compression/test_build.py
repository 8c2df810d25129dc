"""A recipe becomes a measured variant, each step from the cache where it can."""

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import pytest

from edgefleet_compression.builds.entry_points import build_variant, source_metrics
from edgefleet_compression.builds.messages import (
    BuildOutcome,
    BuildRequest,
    SourceRequest,
    WorkRefused,
)
from edgefleet_compression.builds.progress import read_progress
from edgefleet_compression.measuring.measure import probe
from edgefleet_compression.recipes.recipe import Recipe, build_order, recipe_from, shipped_recipes
from edgefleet_compression.schemes import Scheme
from edgefleet_contract.metrics import Metrics
from edgefleet_protocol.answers import unpack_answers
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.tasks.classification import TASK

Outcomes = dict[str, BuildOutcome]


class RequestFor(Protocol):
    """Makes the request for a build of the tiny model."""

    def __call__(self, recipe: Recipe, work: str = "work", **changed: Any) -> BuildRequest: ...


def quick(recipe: str) -> Recipe:
    """A shipped recipe with as little training as possible."""
    value: dict[str, Any] = shipped_recipes()[recipe].model_dump(mode="json")
    for spec in value["steps"]:
        if "epochs" in spec["config"]:
            spec["config"] |= {"epochs": 1, "batch": 64}
    return recipe_from(value)


def build(request: BuildRequest) -> BuildOutcome:
    """A build that is not refused."""
    outcome = build_variant(request)
    assert isinstance(outcome, BuildOutcome), outcome
    return outcome


def refusal(request: BuildRequest) -> WorkRefused:
    """Why a build is refused."""
    outcome = build_variant(request)
    assert isinstance(outcome, WorkRefused) and "\n" not in outcome.sentence
    return outcome


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


@pytest.fixture(scope="module")
def request_for(tiny_files: dict[str, Path], folder: Path) -> RequestFor:
    # As the controller keeps them: files named by digest, with no suffix to guess a format from.
    blobs = {name: folder / f"{number:064x}" for number, name in enumerate(tiny_files)}
    for name, path in blobs.items():
        shutil.copyfile(tiny_files[name], path)

    def request(recipe: Recipe, work: str = "work", **changed: Any) -> BuildRequest:
        given = BuildRequest(
            files=blobs,
            recipe=recipe,
            instruction_set="x86-avx2",
            cache_dir=folder / "cache",
            work_dir=folder / work / recipe.name,
            progress_path=folder / "progress.json",
        )
        return replace(given, **changed)

    return request


BLACK = {"input": np.zeros((1, 1, 8, 8), np.uint8)}
"""A picture as applications send it."""


@pytest.fixture(scope="module")
def built(request_for: RequestFor) -> Outcomes:
    """All shipped recipes, built once, in the order that the controller uses."""
    recipes = build_order(recipe for recipe in shipped_recipes().values() if not recipe.is_for_files)
    return {recipe.name: build(request_for(quick(recipe.name))) for recipe in recipes}


def test_every_shipped_recipe_builds(built: Outcomes) -> None:
    assert built.keys() == shipped_recipes().keys() - {"as-brought"}


def test_a_file_takes_the_time_of_itself_and_a_quicker_one_less(built: Outcomes) -> None:
    fp32, student = (built[name].onnx_path for name in ("fp32", "student-w5"))
    assert 0.8 < (probe(fp32, BLACK, {}, fp32).latency_ratio or 0) < 1.25
    assert (probe(student, BLACK, {}, fp32).latency_ratio or 1) < 0.8
    assert built["fp32"].metrics.latency_ratio == 1.0
    assert (built["student-w5"].metrics.latency_ratio or 1) < 0.8


def test_every_variant_is_measured(built: Outcomes) -> None:
    for outcome in built.values():
        metrics = outcome.metrics
        assert metrics.model_fields_set > {"score_val", "score_test", "agreement", "p50_ms", "peak_rss_mb"}
        assert [name for name, value in metrics if value is None] == ["mj_per_inference"]
        assert metrics.score_test is not None and metrics.score_test_ci is not None
        assert metrics.score_test_ci[0] <= metrics.score_test <= metrics.score_test_ci[1]
        assert metrics.file_bytes == outcome.onnx_path.stat().st_size


def test_a_plain_export_agrees_with_the_source_and_small_variants_are_small(built: Outcomes) -> None:
    assert built["fp32"].metrics.agreement == 1.0
    size = {name: outcome.metrics.encoding_bytes or 0 for name, outcome in built.items()}
    assert size["student-w5"] < size["pruned-w8"] < size["int8"] < size["fp32"]


def test_weights_of_few_bits_are_counted_as_they_are_in_memory(built: Outcomes) -> None:
    size = {name: outcome.onnx_path.stat().st_size for name, outcome in built.items()}
    unfolded = {name: outcome.unfolded_bytes for name, outcome in built.items()}
    assert 0.9 * size["fp32"] < unfolded["fp32"] < size["fp32"]
    for recipe in ("w8", "student-w5"):
        assert unfolded[recipe] == pytest.approx(4 * (built[recipe].metrics.parameters or 0), rel=0.05)
        assert unfolded[recipe] > 2 * size[recipe]


def test_recipes_with_a_common_beginning_share_its_steps(built: Outcomes) -> None:
    cached = {name: [step.cached for step in outcome.steps] for name, outcome in built.items()}
    assert cached["pruned-int8"] == [False, False, False, False]
    assert cached["pruned-w8"] == [True, True, True, False]


def test_a_second_run_does_no_step_and_gives_the_same_file(built: Outcomes, request_for: RequestFor) -> None:
    for name, first in built.items():
        again = build(request_for(quick(name), work="again"))
        assert all(step.cached for step in again.steps), name
        assert again.onnx_path.read_bytes() == first.onnx_path.read_bytes()
        assert again.recorded == first.recorded
        assert again.unfolded_bytes == first.unfolded_bytes


def test_the_scheme_is_that_of_the_device_class_and_named_only_where_it_is_used(built: Outcomes) -> None:
    assert built["int8"].scheme == Scheme("u8", "s8", reduce_range=True)
    assert built["fp32"].scheme is None


def test_another_instruction_set_gets_another_int8_file(built: Outcomes, request_for: RequestFor) -> None:
    vnni = build(request_for(quick("int8"), work="vnni", instruction_set="x86-vnni"))
    assert [step.cached for step in vnni.steps] == [True, False]
    assert vnni.onnx_path.read_bytes() != built["int8"].onnx_path.read_bytes()


def test_int8_is_refused_where_it_must_be_measured_first(request_for: RequestFor) -> None:
    refused = refusal(request_for(quick("int8"), instruction_set="arm-neon"))
    assert refused.reason == "not_applicable" and "recipe 'int8': ARM without dotprod" in refused.sentence


def test_recorded_answers_are_what_the_file_gives_to_the_golden_set(built: Outcomes) -> None:
    for outcome in built.values():
        recorded = outcome.recorded
        x = np.load(io.BytesIO(recorded.golden))["inputs"]
        session = onnxruntime.InferenceSession(outcome.onnx_path, providers=["CPUExecutionProvider"])
        logits = session.run(None, {"input": x})[0]
        told = TASK.compare(TASK.reduce([logits], Spec()), unpack_answers(recorded.answers), recorded.spec)
        assert (recorded.spec, told.agreement, told.scaling) == (Spec(), 1, pytest.approx(1, abs=0.01))
        assert told.difference < 0.02
        powers = np.exp(logits - logits.max(1, keepdims=True))
        np.testing.assert_allclose(powers / powers.sum(1, keepdims=True), recorded.probabilities, atol=0.02)
        assert outcome.runtime == {}


def test_the_golden_set_is_the_first_of_val_and_the_same_bytes_for_every_variant(
    built: Outcomes, tiny_files: dict[str, Path]
) -> None:
    (set_of_all,) = {outcome.recorded.golden for outcome in built.values()}
    golden, data = np.load(io.BytesIO(set_of_all)), np.load(tiny_files["data.npz"])
    np.testing.assert_array_equal(golden["inputs"], data["x_val"][:8])
    np.testing.assert_array_equal(golden["labels"], data["y_val"][:8])
    assert (golden["inputs"].dtype, golden["labels"].dtype) == (np.uint8, np.int64)


def test_progress_ends_at_one(built: Outcomes, folder: Path) -> None:
    progress = read_progress(folder / "progress.json")
    assert progress is not None and (progress.fraction, progress.step, progress.text) == (1.0, "measure", "done")


def test_the_source_model_has_figures_of_its_own(tiny_files: dict[str, Path], folder: Path, built: Outcomes) -> None:
    metrics = source_metrics(SourceRequest(tiny_files, folder / "cache"))
    assert isinstance(metrics, Metrics)
    for figure in ("score_val", "score_test", "score_test_ci", "parameters"):
        assert getattr(metrics, figure) == getattr(built["fp32"].metrics, figure)
    assert metrics.p50_ms is None


def test_a_step_that_changes_nothing_fails_the_build(request_for: RequestFor) -> None:
    twice = recipe_from(
        {"name": "twice", "title": "t", "steps": [{"step": s} for s in ("export", "storage_quant", "storage_quant")]}
    )
    refused = refusal(request_for(twice))
    assert refused.reason == "nothing_changed" and "only once" in refused.sentence


def test_files_without_a_card_are_refused_with_what_to_do(request_for: RequestFor) -> None:
    assert refusal(request_for(quick("fp32"), files={})) == WorkRefused(
        "bad_model", "model.toml is missing: register the model's folder again"
    )


def test_a_pickle_in_place_of_weights_is_refused_unread(
    tiny_files: dict[str, Path], tmp_path: Path, request_for: RequestFor
) -> None:
    card = tiny_files["model.toml"].read_text().replace("weights.safetensors", "weights.pt")
    (tmp_path / "model.toml").write_text(card)
    files = {**tiny_files, "model.toml": tmp_path / "model.toml", "weights.pt": tmp_path / "weights.pt"}
    shutil.copyfile(tiny_files["weights.safetensors"], tmp_path / "weights.pt")
    refused = refusal(request_for(quick("fp32"), files=files))
    assert refused.reason == "bad_model" and "loading this format runs code" in refused.sentence
