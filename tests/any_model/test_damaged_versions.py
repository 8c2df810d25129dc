"""For every task: a damaged version is refused before any device is told, a good one is not; by real graphs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic
from tests.any_model.small_models import MODELS, SAMPLES, Damage, SmallModel, Weights, samples

from edgefleet_contract.rollouts import Gate
from edgefleet_controller.rollouts.versions_alike import refusal
from edgefleet_tasks.answer_set import AnswerSet
from edgefleet_tasks.pairing import PairOnVal, paired
from edgefleet_tasks.registry import own_names, task_named

ASKED = samples()
built = cache(lambda make: make())
every_model = pytest.mark.parametrize("model", [built(make) for make in MODELS], ids=[make.__name__ for make in MODELS])


DAMAGES = [pytest.param(built(m), name, id=f"{m.__name__}: {name}") for m in MODELS for name in built(m).damages]


def answers_of(model: SmallModel, path: Path) -> AnswerSet:
    """What a file answers to val, as its build keeps it."""
    answered, task = model.answers(path, ASKED), task_named(model.task)
    spec = task.spec(model.signature, answered, model.declared)
    reduced = tuple(one for outputs in answered for one in task.reduce(outputs, spec))
    return AnswerSet.unpack(AnswerSet(model.task, spec, model.signature, "a" * 64, reduced).pack())


@dataclass(frozen=True)
class Old:
    """The version before: its file, its answers, and what the samples really are, as it is always right here."""

    model: SmallModel
    path: Path
    answers: AnswerSet
    labels: Any

    def judged(self, version: AnswerSet, labels: Any) -> tuple[PairOnVal, str | None]:
        """A version beside this one, and why it is refused."""
        found = paired(self.answers, version, labels)
        assert isinstance(found, PairOnVal), found
        return found, refusal(found, Gate(), task_named(self.model.task).measure.name)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SmallModel], Old]:
    @cache
    def of(task: str) -> Old:
        [model] = [built(make) for make in MODELS if built(make).task == task]
        path = model.write(tmp_path_factory.mktemp(task) / "source.onnx")
        whole = [np.concatenate(one) for one in zip(*model.answers(path, ASKED), strict=True)]
        return Old(model, path, answers_of(model, path), model.labels(whole) if model.labels else None)

    return lambda model: of(model.task)


Versions = Callable[[SmallModel], Old]


def test_every_task_is_looked_at_and_has_a_damage() -> None:
    assert {built(make).task for make in MODELS} == set(own_names())
    assert all(built(make).damages for make in MODELS)


@pytest.mark.parametrize(("model", "damage"), DAMAGES)
def test_a_damaged_version_is_refused(tmp_path: Path, old: Versions, model: SmallModel, damage: str) -> None:
    version = answers_of(model, model.write(tmp_path / "version.onnx", model.damages[damage]))
    for labels in (old(model).labels, None):  # also without labels
        found, why = old(model).judged(version, labels)
        assert why is not None and "disagrees by" in why, found
        assert f"on {SAMPLES} samples of val" in why


def trained_on(weights: Weights) -> None:
    """As if trained for a little longer."""
    dice = np.random.default_rng(3)
    for name in ("w1", "w2"):
        weights[name] = (weights[name] + 0.01 * weights[name].std() * dice.normal(size=weights[name].shape)).astype(
            "f4"
        )


def in_eight_bits(weights: Weights) -> None:
    """A step for each output of a layer, as weights are stored."""
    for name in ("w1", "w2"):
        scale = np.abs(weights[name]).max(0, keepdims=True) / 127
        weights[name] = (np.rint(weights[name] / scale) * scale).astype("f4")


def in_half(weights: Weights) -> None:
    for name in ("w1", "w2"):
        weights[name] = weights[name].astype("f2").astype("f4")


@every_model
@pytest.mark.parametrize("change", [trained_on, in_eight_bits, in_half])
def test_a_good_version_is_not_refused(tmp_path: Path, old: Versions, model: SmallModel, change: Damage) -> None:
    version = answers_of(model, model.write(tmp_path / "version.onnx", change))
    found, why = old(model).judged(version, old(model).labels)
    assert why is None, found
    assert found.disagreement.value < 0.05


@every_model
def test_an_int8_file_is_not_refused(tmp_path: Path, old: Versions, model: SmallModel) -> None:
    version = tmp_path / "int8.onnx"
    # Weights of 8 bits saturate on x86 without VNNI, where such a version would rightly be refused.
    quantize_dynamic(old(model).path, version, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
    assert version.read_bytes() != old(model).path.read_bytes()
    found, why = old(model).judged(answers_of(model, version), old(model).labels)
    assert why is None, found


def test_a_version_that_answers_few_samples_otherwise_is_within_what_is_allowed(old: Versions) -> None:
    before = old(built(MODELS[0]))
    other = replace(before.answers, answers=before.answers.answers[:2][::-1] + before.answers.answers[2:])
    assert before.judged(other, before.labels)[1] is None
