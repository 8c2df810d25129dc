"""A version that answers unlike what devices have is refused before any device is told of it."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.cards import card

from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_controller.clock import now_ms
from edgefleet_controller.records import AnswersRecord, ChoiceRecord, ModelRecord
from edgefleet_controller.service import Service
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_tasks.answer_set import AnswerSet
from edgefleet_tasks.tasks.classification import TASK

PROFILE = "eu/rpi4/lte"
TAKES = Signature((Tensor("x", "FP32", (None, 1, 28, 28)),), (Tensor("y", "FP32", (None, 4)),))
LARGER = Signature((Tensor("x", "FP32", (None, 1, 32, 32)),), TAKES.outputs)
LABELS = np.arange(400) % 4
RIGHT = np.eye(4, dtype=np.float32)[LABELS] * 8
OLD, NEW = "b" * 64, "e" * 64


def with_wrong(count: int) -> Any:
    """Answers of which the first `count` are wrong."""
    found = RIGHT.copy()
    found[:count] = np.roll(found[:count], 1, axis=1)
    return found


class Versions:
    """fashion@1 answers on devices as `b…`, and fashion@2 is chosen as `e…`; what each answers is written by hand."""

    def __init__(self, service: Service, published: str) -> None:
        self.service, self.registry = service, service.store.fleet.registry
        data = io.BytesIO()
        np.savez(data, x_val=np.zeros((400, 1, 28, 28), np.uint8), y_val=LABELS)
        files = {"data.npz": service.blobs.put(data.getvalue())}
        for version in (1, 2):
            self.registry.put_model(
                ModelRecord(name="fashion", version=version, files=files, card=card(version=version), created_ms=1)
            )
        [first, *_] = self.registry.variants("fashion", 1)
        second = first.model_copy(update={"id": NEW, "version": 2, "recipe": "int8"})
        choice = ChoiceRecord(model="fashion", version=2, profile=PROFILE, variant=NEW, reasons={})
        self.registry.put_variants([second], [choice])

    def answer(
        self, version: int, logits: Any, variant: str | None = None, signature: Signature = TAKES, **fields: Any
    ) -> AnswersRecord:
        spec = TASK.spec(signature, [[logits]])
        data = fields.pop("data", "d" * 64)
        steps, answers = fields.pop("steps", ()), tuple(TASK.reduce([logits], spec))
        kept = AnswerSet(fields.pop("task", "classification"), spec, signature, data, answers, steps)
        variant = {1: OLD, 2: NEW}[version] if variant is None else variant
        blob = self.service.blobs.put(kept.pack())
        told = {"model": "fashion", "version": version, "variant": variant, "data": data, "asked": 2, "blob": blob}
        row = AnswersRecord.model_validate({**told, **fields})
        self.registry.put_answers([row])
        return row


@pytest.fixture
def versions(service: Service, published: str, join: Callable[..., None]) -> Versions:
    join("cam-1", "cam-2", runs=OLD)
    join("cam-3")
    return Versions(service, published)


START = ("rollout", "start", "fashion@2", "--all")
PLAN = ("rollout", "plan", "fashion@2", "--all")


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("words", [PLAN, START])
def test_a_damaged_version_is_refused_unless_it_is_accepted(operator, versions: Versions, words: tuple[str]) -> None:
    versions.answer(1, RIGHT)
    versions.answer(2, with_wrong(120))
    said = one_line(operator.types(*words, code=1).stderr)
    assert (
        "fashion@2 is refused: beside fashion@1 its variant eeeeeeeeeeee disagrees by 30.0 % on 400 samples of" in said
    )
    assert "max_disagreement is 10.0 %; has a lower accuracy, by 30.0 points on 400 samples of val (surely by 2" in said
    assert "(2 devices): correct it, or take it as it is with --accept-drop" in said
    assert list(versions.service.store.fleet.rollouts.all()) == []
    operator.types(*words, "--gate", "max_disagreement=0.5", code=1)
    operator.types(*words, "--gate", "max_disagreement=0.5", "--gate", "max_accuracy_drop=0.5")


def test_what_was_accepted_is_told_by_plan_and_started(operator, versions: Versions) -> None:
    versions.answer(1, RIGHT)
    versions.answer(2, with_wrong(120))
    said = one_line(operator.types(*PLAN, "--accept-drop").stdout)
    assert "int8 beside fp32 of fashion@1, on 2 devices: disagrees by 30.0 % on 400 samples of val (95 %" in said
    assert "; accuracy 70.0 % against 100.0 %" in said
    assert "accepted all the same: it disagrees by 30.0 %" in said
    assert "1 device answers nothing yet" in said
    operator.types(*START, "--accept-drop")
    [rollout] = versions.service.store.fleet.rollouts.all()
    assert rollout.spec.accept_drop


@pytest.mark.parametrize("wrong", [0, 4, 12])
def test_a_good_version_goes_ahead_and_plan_says_what_was_compared(operator, versions: Versions, wrong: int) -> None:
    versions.answer(1, RIGHT)
    versions.answer(2, with_wrong(wrong))
    planned = operator.reads(*PLAN)
    [pair] = planned["pairs"]
    assert (pair["samples"], pair["devices"], pair["before_model"]) == (400, 2, "fashion@1")
    assert (pair["disagreement"], pair["score"]) == (pytest.approx(wrong / 400), pytest.approx(1 - wrong / 400))
    assert (pair["refused"], pair["asked"], planned["first_installs"]) == (None, "variant", 1)
    operator.types(*START)


def test_by_chance_alone_nothing_is_refused(operator, versions: Versions) -> None:
    """12 % of 25 samples is three of them: too few to be sure of 10 %."""
    versions.answer(1, RIGHT[:25])
    versions.answer(2, with_wrong(3)[:25])
    operator.types(*PLAN)


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (
            lambda v: None,
            "int8 was not compared with fp32 of fashion@1, on 2 devices: what it answers to val was not",
        ),
        (lambda v: v.answer(2, RIGHT), "fashion@1 was not asked the val of fashion@2: compress fashion@2 again"),
        (
            lambda v: (v.answer(2, RIGHT), v.answer(1, RIGHT, data="f" * 64, asked=1)),
            "fashion@1 was not asked the val of fashion@2: compress fashion@2 again, which asks it or says why not",
        ),
        (
            lambda v: (v.answer(2, RIGHT), v.answer(1, RIGHT, data="f" * 64, asked=1, steps=(200, 200))),
            "fashion@1 keeps state, and is asked step by step, and fashion@2 does not: no samples are for both",
        ),
        (
            lambda v: (v.answer(2, RIGHT), v.answer(1, RIGHT[:300])),
            "there are 300 answers of the one and 400 of the other",
        ),
        (
            lambda v: (v.answer(1, RIGHT), v.service.blobs.path(v.answer(2, RIGHT).blob).write_bytes(b"rubbish")),
            "kept answers cannot be read (a blob of answers is damaged)",
        ),
        (
            lambda v: (v.answer(1, RIGHT), v.service.blobs.path(v.answer(2, RIGHT).blob).unlink()),
            "kept answers cannot be read (no blob",
        ),
        (
            lambda v: (v.answer(2, RIGHT), v.answer(1, RIGHT, variant="")),
            "disagrees by 0.0 % on 400 samples of val (95 % from 0.0 % to 1.0 %) (its source model was asked",
        ),
    ],
)
def test_what_was_not_looked_at_is_told_and_holds_nothing_up(
    operator, versions: Versions, keep: Callable[[Versions], object], told: str
) -> None:
    keep(versions)
    assert told in one_line(operator.types(*PLAN).stdout)
    operator.types(*START)


def test_versions_of_other_samples_say_that_they_have_none_in_common(operator, versions: Versions) -> None:
    versions.answer(2, RIGHT)
    versions.answer(1, RIGHT, signature=LARGER, data="f" * 64, asked=1)
    said = one_line(operator.types(*PLAN, "--accept-signature").stdout)
    told = "fashion@1 takes FP32 [any, 1, 32, 32], and fashion@2 FP32 [any, 1, 28, 28]: no samples are for both"
    assert told in said and "compress" not in said


def test_without_labels_the_answers_alone_are_compared(operator, versions: Versions) -> None:
    data = io.BytesIO()
    np.savez(data, x_val=np.zeros((400, 1, 28, 28), np.uint8))
    for model in versions.registry.models():
        files = {"data.npz": versions.service.blobs.put(data.getvalue())}
        versions.registry.put_model(model.model_copy(update={"files": files}))
    versions.answer(1, RIGHT)
    versions.answer(2, with_wrong(20))
    assert "accuracy was not looked at: there are no labels" in one_line(operator.types(*PLAN).stdout)
    versions.answer(2, with_wrong(120))
    operator.types(*START, code=1)


def test_a_version_that_takes_something_else_wants_that_accepted(operator, versions: Versions) -> None:
    pixels = Signature((Tensor("x", "UINT8", (None, 28, 28)),), TAKES.outputs)
    versions.answer(1, RIGHT)
    versions.answer(2, RIGHT, signature=pixels)
    for words in (PLAN, START):
        said = one_line(operator.types(*words, code=1).stderr)
        assert "they must send 'x' as UINT8 [any, 28, 28] where it is FP32 [any, 1, 28, 28] now" in said
        assert said.endswith("then say --accept-signature")
    shown = one_line(operator.types(*PLAN, "--accept-signature").stdout)
    assert "applications must send 'x' as UINT8 [any, 28, 28] where" in shown
    operator.types(*START, "--accept-signature")


def test_a_version_of_another_task_is_not_compared_and_wants_that_accepted(operator, versions: Versions) -> None:
    versions.answer(1, RIGHT)
    versions.answer(2, RIGHT, task="multilabel")
    said = one_line(operator.types(*START, code=1).stderr)
    assert "they must read answers of multilabel where they are of classification now: then say --accept-sign" in said
    shown = one_line(operator.types(*PLAN, "--accept-signature").stdout)
    assert "the task was classification, and is multilabel" in shown


def test_the_way_back_to_a_worse_version_is_never_refused(operator, versions: Versions) -> None:
    versions.answer(1, with_wrong(200))
    versions.answer(2, RIGHT)
    operator.types(*START, code=1)  # a better one, too, is another one: half of the answers change
    operator.types(*START, "--accept-drop")
    [rollout] = versions.service.store.fleet.rollouts.all()
    operator.types("rollout", "rollback", rollout.id)


def test_a_device_that_joins_late_with_a_version_that_would_be_refused_is_left_as_it_is(
    operator, versions: Versions, join: Callable[..., None]
) -> None:
    versions.answer(1, with_wrong(120))
    versions.answer(2, RIGHT)
    other = "f" * 64
    [first, *_] = versions.registry.variants("fashion", 1)
    versions.registry.put_variants([first.model_copy(update={"id": other, "recipe": "fp16"})], [])
    versions.answer(1, np.roll(RIGHT, 1, axis=1), variant=other)
    operator.types(*START, "--gate", "max_disagreement=0.4")
    [rollout] = versions.service.store.fleet.rollouts.all()
    join("cam-9", runs=other)
    join("cam-8", runs=OLD)
    versions.service.conductor.tick(now_ms())
    found = {e.device: e for e in versions.service.store.fleet.rollouts.executions(rollout.id)}
    assert (found["cam-8"].phase, found["cam-9"].phase) == ("assigned", "deferred")
    assert "disagrees by 100.0 % on 400 samples of val" in (found["cam-9"].detail or "")


def test_rest_says_the_same_as_the_command_line(operator, versions: Versions) -> None:
    from edgefleet_operator.client import Client
    from edgefleet_operator.errors import ApiError

    versions.answer(1, RIGHT)
    versions.answer(2, with_wrong(120))
    spec = RolloutSpec(model="fashion", version=2, everyone=True)
    with Client(operator.url) as client:
        for ask in (client.rollouts.plan, client.rollouts.start):
            with pytest.raises(ApiError, match="fashion@2 is refused"):
                ask(spec)
        [pair] = client.rollouts.plan(spec.model_copy(update={"accept_drop": True})).pairs
        assert pair.refused and pair.drop == pytest.approx(0.3)
