"""What holds for every task: right answers score 1, agreement is symmetric, damage is seen, and forms are small."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.tasks.worlds import SAMPLES, WORLDS, World, detection, embedding, outputs, segmentation, sequence

from edgefleet_protocol.answers import MAX_ANSWER_BYTES
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.spec import CATEGORIES, STRATA
from edgefleet_tasks.errors import AnswerNotFinite, NotScored
from edgefleet_tasks.registry import own_names, task_named
from edgefleet_tasks.task import Task

every_world = pytest.mark.parametrize("world", [make() for make in WORLDS], ids=[make.__name__ for make in WORLDS])
of_floats = pytest.mark.parametrize(
    "world", [world for make in WORLDS if (world := make()).outputs[0].dtype.kind == "f"], ids=lambda world: world.task
)


def agreement(task: Task[Any], world: World, other: list[Any]) -> float:
    """The mean agreement of a world's answers and others, by the spec of the former."""
    pairs = zip(world.reduced(), world.reduced(other), strict=True)
    return float(np.mean([task.agree(a, b, world.spec) for a, b in pairs]))


def test_every_task_of_the_package_is_looked_at() -> None:
    assert {make().task for make in WORLDS} == set(own_names())


@every_world
def test_right_answers_score_1_and_have_the_best_headline(world: World) -> None:
    task, spec = task_named(world.task), world.spec
    assert task.fits(world.signature, spec) is None
    if world.labels is None:
        with pytest.raises(NotScored):
            task.headline(world.reduced(), [], spec)
        return
    labels = [task.label(raw, spec) for raw in world.labels]
    if task.scores_alone:
        assert [task.score(a, label, spec) for a, label in zip(world.reduced(), labels, strict=True)] == [1.0] * SAMPLES
    found = task.headline(world.reduced(), labels, spec)
    best = 1.0 if task.headlined.better == "higher" else 0.0
    assert found.value == pytest.approx(best)
    assert found.low <= found.value <= found.high


@every_world
def test_a_damaged_version_agrees_clearly_less_and_scores_less(world: World) -> None:
    task, spec = task_named(world.task), world.spec
    damaged = world.damaged(world.outputs)
    assert agreement(task, world, world.outputs) == 1
    assert agreement(task, world, world.nudged(world.outputs)) > 0.97
    assert agreement(task, world, damaged) < 0.9
    if task.scores_alone and world.labels is not None:
        labels = [task.label(raw, spec) for raw in world.labels]
        scores = [task.score(a, label, spec) for a, label in zip(world.reduced(damaged), labels, strict=True)]
        assert np.mean(scores) < (0.9 if world.task != "detection" else 0.98)


@every_world
def test_agreement_is_symmetric_and_all_figures_are_in_bounds(world: World) -> None:
    task, spec = task_named(world.task), world.spec
    ones, others = world.reduced(), world.reduced(world.damaged(world.outputs))
    for a in ones[:6]:
        for b in (*ones[:6], *others[:6]):
            assert 0 <= task.agree(a, b, spec) == task.agree(b, a, spec) <= 1
    for answer in (*ones, *others):
        assert 0 <= task.category(answer, spec) < CATEGORIES
        assert 0 <= task.stratum(answer, spec) < STRATA


@every_world
def test_reduced_answers_are_the_same_bytes_for_any_batch_and_at_every_time(world: World) -> None:
    whole = world.reduced()
    one_by_one = [answer for n in range(SAMPLES) for answer in world.reduced([one[n : n + 1] for one in world.outputs])]
    assert whole == one_by_one == world.reduced()
    assert max(map(len, whole)) <= MAX_ANSWER_BYTES
    assert world.reduced([one[:0] for one in world.outputs]) == []


@every_world
def test_two_runs_are_compared(world: World) -> None:
    task, spec = task_named(world.task), world.spec
    same = task.compare(world.reduced(), world.reduced(), spec)
    assert (same.agreement, same.difference, same.scaling) == (1, 0, 1)
    damaged = task.compare(world.reduced(world.damaged(world.outputs)), world.reduced(), spec)
    assert damaged.agreement < 0.9 or damaged.difference > 0.25
    assert 0 <= damaged.difference <= 1
    with pytest.raises(ValueError, match="recorded"):
        task.compare(world.reduced(), [], spec)


@of_floats
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_said_and_never_agrees(world: World, bad: float) -> None:
    spec = world.spec
    broken = [one.copy() for one in world.outputs]
    for one in broken:
        if one.dtype.kind == "f":
            one.reshape(len(one), -1)[3, 0] = bad
    with pytest.raises(AnswerNotFinite, match="not finite"):
        world.reduced(broken, spec)
    assert len(world.reduced([one[:3] for one in broken], spec)) == 3


@every_world
def test_values_near_the_largest_are_no_trouble(world: World) -> None:
    large = [one * np.float32(1e34) if one.dtype.kind == "f" else one for one in world.outputs]
    task, spec = task_named(world.task), world.spec
    answers = world.reduced(large, spec)
    assert all(0 <= task.agree(a, b, spec) <= 1 for a, b in zip(answers, world.reduced(), strict=True))


@every_world
def test_bytes_that_are_no_reduced_answer_are_refused(world: World) -> None:
    task, spec = task_named(world.task), world.spec
    good = world.reduced()[0]
    versioned = [bytes([good[0] + 1]) + good[1:]] if world.task != "classification" else []
    for hostile in (b"", b"\0", good[:-1], good + b"\0", good[:3], b"\xff" * len(good), *versioned):
        for use in (
            lambda h: task.agree(good, h, spec),
            lambda h: task.category(h, spec),
            lambda h: task.stratum(h, spec),
        ):
            with pytest.raises(MalformedMessage):
                use(hostile)


@every_world
def test_any_bytes_are_read_or_refused(world: World) -> None:
    task, spec, good = task_named(world.task), world.spec, world.reduced()[0]
    dice = np.random.default_rng(0)
    for _ in range(200):
        hostile = bytearray(good)
        for place in dice.integers(0, len(good), 3):
            hostile[place] = dice.integers(256)
        try:
            assert 0 <= task.agree(good, bytes(hostile), spec) <= 1
        except MalformedMessage:
            continue


BIG: dict[str, tuple[Callable[[], World], Callable[[World, list[Any]], float], float]] = {}


def big(make: Callable[[], World], within: float) -> Any:
    """A case of large answers, and how far their agreement may be from that of the full ones."""

    def decorated(full: Callable[[World, list[Any]], float]) -> Any:
        BIG[full.__name__] = (make, full, within)
        return full

    return decorated


@big(lambda: embedding(4096), 0.02)
def of_4096_numbers(world: World, other: list[Any]) -> float:
    a, b = world.outputs[0], other[0]
    return float(np.mean([(1 + x @ y / np.linalg.norm(x) / np.linalg.norm(y)) / 2 for x, y in zip(a, b, strict=True)]))


@big(lambda: sequence(10_000, 200), 0.02)
def of_10_000_tokens(world: World, other: list[Any]) -> float:
    return float((world.outputs[0] == other[0]).mean())  # only replaced ones: close to the edit distance


@big(lambda: segmentation(400), 0.02)
def of_large_masks(world: World, other: list[Any]) -> float:
    shares = []
    for a, b in zip(world.outputs[0].argmax(1), other[0].argmax(1), strict=True):
        there = np.unique([a, b])
        shares.append(np.mean([((a == k) & (b == k)).sum() / ((a == k) | (b == k)).sum() for k in there]))
    return float(np.mean(shares))


@pytest.mark.parametrize("name", BIG)
def test_large_answers_are_small_and_agree_as_the_full_ones_do(name: str) -> None:
    make, full, within = BIG[name]
    world = make()
    task = task_named(world.task)
    assert max(map(len, world.reduced())) <= MAX_ANSWER_BYTES
    for change in (world.nudged, world.damaged):
        other = change(world.outputs)
        assert agreement(task, world, other) == pytest.approx(full(world, other), abs=within)


def test_100_boxes_and_1000_000_pixels_and_many_outputs_fit() -> None:
    for world in (detection(100), detection(1000), outputs()):
        assert max(map(len, world.reduced())) <= MAX_ANSWER_BYTES
    spec = segmentation().spec
    (answer,) = task_named("segmentation").reduce([np.zeros((1, 4, 1000, 1000), "f4")], spec)
    assert len(answer) <= MAX_ANSWER_BYTES
    many = [np.zeros((1, 500), "f4") for _ in range(256)]
    (answer,) = task_named("outputs").reduce(many, outputs().spec)
    assert len(answer) <= MAX_ANSWER_BYTES
