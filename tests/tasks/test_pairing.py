"""Two versions beside each other: figures of known answers, for every task, and why there is no pair."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.tasks.worlds import SAMPLES, WORLDS, World, classification

from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.moments import Moments
from edgefleet_tasks.answer_set import AnswerSet
from edgefleet_tasks.pairing import PairOnVal, paired
from edgefleet_tasks.registry import task_named

every_world = pytest.mark.parametrize("world", [make() for make in WORLDS], ids=[make.__name__ for make in WORLDS])
CLASSES = classification()


def set_of(world: World, outputs: list[Any] | None = None) -> AnswerSet:
    """The answers of a version, reduced as its own spec says."""
    outputs = world.outputs if outputs is None else outputs
    spec = task_named(world.task).spec(world.signature, [outputs], world.declared)
    return AnswerSet(world.task, spec, world.signature, "a" * 64, tuple(world.reduced(outputs, spec)))


def pair_of(old: AnswerSet, new: AnswerSet, labels: Any) -> PairOnVal:
    found = paired(old, new, labels)
    assert isinstance(found, PairOnVal), found
    return found


@every_world
def test_a_version_beside_itself_differs_in_nothing(world: World) -> None:
    found = pair_of(set_of(world), set_of(world), world.labels)
    assert (found.samples, found.disagreement.value) == (SAMPLES, pytest.approx(0, abs=1e-9))
    assert sum(one.n for one in found.agree) == SAMPLES
    assert sum(one.sum for one in found.agree) == SAMPLES * 10**6
    if found.not_scored is None:
        assert found.drop is not None and found.drop.value == 0 and found.drop.low < 0 < found.drop.high
        assert found.gain == Moments.of(*[0.5] * SAMPLES)


@every_world
def test_a_damaged_version_differs_beyond_chance_and_a_nudged_one_does_not(world: World) -> None:
    old = set_of(world)
    damaged = pair_of(old, set_of(world, world.damaged(world.outputs)), world.labels)
    assert damaged.disagreement.low > 0.1
    assert pair_of(old, set_of(world, world.nudged(world.outputs)), world.labels).disagreement.low < 0.02


def test_the_figures_are_those_of_the_answers_one_by_one() -> None:
    [logits] = CLASSES.outputs
    wrong = logits.copy()
    wrong[:6] = np.roll(wrong[:6], 1, axis=1)  # a quarter is answered otherwise, and wrongly
    found = pair_of(set_of(CLASSES), set_of(CLASSES, [wrong]), CLASSES.labels)
    assert found.disagreement.value == 0.25
    assert (found.score_before, found.score) == (1, 0.75)
    assert found.drop is not None and found.drop.value == pytest.approx(0.25)
    assert found.gain == Moments.of(*[0.0] * 6, *[0.5] * 18)
    back = pair_of(set_of(CLASSES, [wrong]), set_of(CLASSES), CLASSES.labels)
    assert back.drop is not None and back.drop.value == pytest.approx(-0.25) and back.drop.low < -0.25 < back.drop.high


def test_few_samples_say_little() -> None:
    """One sample of four may be answered otherwise by chance; a quarter of thousands is not."""
    [logits] = CLASSES.outputs
    few = [np.roll(logits[:4], [1, 0], axis=(1, 0))]
    few[0][1:] = logits[1:4]
    old = set_of(CLASSES, [logits[:4]])
    assert pair_of(old, set_of(CLASSES, few), None).disagreement.low < 0.1


def test_of_many_samples_some_that_lie_evenly_are_compared() -> None:
    [logits] = CLASSES.outputs
    wrong = logits.copy()
    wrong[::4] = np.roll(wrong[::4], 1, axis=1)
    found = paired(set_of(CLASSES), set_of(CLASSES, [wrong]), CLASSES.labels, at_most=6)
    assert isinstance(found, PairOnVal)
    assert (found.samples, found.disagreement.value, found.score_before, found.score) == (6, 1, 1, 0)
    found = paired(set_of(CLASSES), set_of(CLASSES, [wrong]), CLASSES.labels, at_most=SAMPLES + 1)
    assert isinstance(found, PairOnVal) and (found.samples, found.disagreement.value) == (SAMPLES, 0.25)


STEPS = (10, 2, 12)
"""Sequences whose answers are those of the samples, in order."""


def test_a_sequence_is_one_sample_with_the_mean_of_its_steps() -> None:
    [logits] = CLASSES.outputs
    wrong = logits.copy()
    wrong[10:12] = np.roll(wrong[10:12], 1, axis=1)  # the whole of the short one
    old, new = (replace(set_of(CLASSES, [one]), steps=STEPS) for one in (logits, wrong))
    by_step = np.split(np.asarray(CLASSES.labels), [10, 12])
    found = pair_of(old, new, by_step)
    assert (found.samples, found.disagreement.value) == (3, pytest.approx(1 / 3))
    assert (found.score_before, found.score, found.gain.n) == (1, pytest.approx(2 / 3), 3)
    last = pair_of(old, new, [CLASSES.labels[place] for place in (9, 11, 23)])
    assert (last.score_before, last.score) == (1, pytest.approx(2 / 3))
    first = paired(old, new, by_step, at_most=12)  # whole ones, and at least one
    assert isinstance(first, PairOnVal) and (first.samples, first.disagreement.value) == (1, 0)


def test_steps_come_back_with_a_set_and_add_up() -> None:
    kept = replace(set_of(CLASSES), steps=STEPS)
    assert AnswerSet.unpack(kept.pack()) == kept
    for steps, told in (((10, 2), "sequences with 12 steps"), ((0, 24), "sequences without steps")):
        with pytest.raises(MalformedMessage, match=told):
            AnswerSet.unpack(replace(kept, steps=steps).pack())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"task": "regression"}, "the task was classification, and is regression"),
        ({"data": "b" * 64}, "no samples of val were asked of both"),
        ({"answers": ()}, "24 answers of the one and 0 of the other"),
        ({"answers": (b"x",) * SAMPLES}, "cannot be compared: "),
        ({"spec": replace(CLASSES.spec, names=tuple("abcdefghji"))}, "other names, or come in another order"),
        ({"spec": replace(CLASSES.spec, width=11)}, "an answer was of 10, and is of 11"),
    ],
)
def test_why_there_is_no_pair(change: dict[str, Any], told: str) -> None:
    old = set_of(CLASSES)
    old = replace(old, spec=replace(old.spec, names=tuple("abcdefghij"), width=10))
    assert told in str(paired(old, replace(set_of(CLASSES), **change), None))


def test_a_task_that_is_not_installed_has_no_pair() -> None:
    one = replace(set_of(CLASSES), task="sorting")
    assert "there is no task 'sorting'" in str(paired(one, one, None))


@pytest.mark.parametrize(
    ("labels", "told"),
    [(None, "no labels"), ([0] * 3, "3 labels for 24 answers"), (["a"] * SAMPLES, "the labels cannot be used: ")],
)
def test_why_there_are_no_scores(labels: Any, told: str) -> None:
    found = pair_of(set_of(CLASSES), set_of(CLASSES), labels)
    assert told in (found.not_scored or "")
    assert (found.drop, found.score, found.gain) == (None, None, Moments())
