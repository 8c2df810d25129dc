"""How much answers have changed: nothing for the same, more for more noise, whatever the task's outputs look like."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefleet_compression.onnx_graphs.losses import LOSSES, loss_between
from edgefleet_protocol.spec import LOGITS, PROBABILITIES, BoxReading, OutputColumns, Spec
from edgefleet_tasks.registry import own_names, task_named
from edgefleet_tasks.tasks.classification import probabilities

RNG = np.random.default_rng(0)
OUTPUTS: dict[str, Callable[[], list[Any]]] = {
    "classification": lambda: [RNG.normal(size=(1, 10)).astype(np.float32)],
    "multilabel": lambda: [RNG.normal(size=(1, 10)).astype(np.float32)],
    "regression": lambda: [RNG.normal(size=(1, 2)).astype(np.float32)],
    "embedding": lambda: [RNG.normal(size=(1, 64)).astype(np.float32)],
    "detection": lambda: [RNG.random((1, 20, 4), np.float32) * 100, RNG.random((1, 20), np.float32)],
    "segmentation": lambda: [RNG.normal(size=(1, 5, 8, 8)).astype(np.float32)],
    "sequence": lambda: [RNG.normal(size=(1, 12, 30)).astype(np.float32)],
    "outputs": lambda: [RNG.normal(size=(1, 3)).astype(np.float32), np.arange(4)[None]],
}
WIDTHS = {"segmentation": 5, "sequence": 30}


def noisy(answers: list[list[Any]], by: float) -> list[list[Any]]:
    def changed(output: Any) -> Any:
        return output + by * RNG.normal(size=output.shape).astype(np.float32) if output.dtype.kind == "f" else output

    return [[changed(output) for output in outputs] for outputs in answers]


@pytest.mark.parametrize("task", own_names())
def test_the_loss_grows_with_the_change_and_is_nothing_without(task: str) -> None:
    spec, kind = Spec(width=WIDTHS.get(task, 0)), task_named(task).loss
    answers = [OUTPUTS[task]() for _ in range(20)]
    losses = [loss_between(kind, answers, noisy(answers, by), spec) for by in (0.0, 0.01, 0.1, 1.0)]
    assert losses[0] == pytest.approx(0, abs=1e-9)
    assert losses == sorted(losses) and losses[1] > losses[0]


def test_each_loss_that_a_task_names_is_known() -> None:
    assert {task_named(task).loss for task in own_names()} <= LOSSES.keys()


@pytest.mark.parametrize("outputs", [LOGITS, PROBABILITIES])
def test_of_a_classifier_it_is_the_divergence(outputs: str) -> None:
    before, after = (RNG.random((30, 10), np.float32) for _ in range(2))
    if outputs == PROBABILITIES:
        before, after = (one / one.sum(1, keepdims=True) for one in (before, after))
    spec = Spec(outputs)
    p, q = (probabilities(one, spec) for one in (before, after))
    expected = (p * np.log(p / q)).sum(1).mean()
    a, b = ([[row[None]] for row in one] for one in (before, after))
    assert loss_between("cross_entropy", a, b, spec) == pytest.approx(expected, rel=1e-5)


def test_an_answer_of_another_shape_is_wholly_different() -> None:
    for kind in LOSSES:
        assert loss_between(kind, [[np.ones((1, 3), np.float32)]], [[np.ones((1, 4), np.float32)]], Spec()) == 1.0


def test_classes_without_logits_count_by_how_many_differ() -> None:
    before, after = np.zeros((1, 10), np.int64), np.array([[1] * 3 + [0] * 7])
    assert loss_between("cross_entropy", [[before]], [[after]], Spec()) == pytest.approx(0.3)


def test_an_output_of_large_numbers_hides_no_other() -> None:
    boxes, scores = RNG.random((1, 20, 4), np.float32) * 1000, RNG.random((1, 20), np.float32)
    worse = loss_between("scaled_error", [[boxes, scores]], [[boxes, scores[:, ::-1]]], Spec())
    assert worse > 0.1


def test_of_a_detector_only_boxes_that_count_are_looked_at() -> None:
    corners, scores = RNG.random((1, 20, 4), np.float32) * 100, np.full((1, 20), 0.01, np.float32)
    scores[0, :3] = 0.9
    spec = Spec(PROBABILITIES, boxes=BoxReading(OutputColumns(0), OutputColumns(1)), thresholds=(0.3,))

    def loss(changed: slice, *, scores: NDArray[np.float32]) -> float:
        after = scores.copy()
        after[0, changed] *= 0.8
        moved = corners.copy()
        moved[0, changed] += 5
        return loss_between("scaled_error", [[corners, scores]], [[moved, after]], spec)

    assert loss(slice(3, 20), scores=scores) == 0
    assert loss(slice(0, 1), scores=scores) > 0
    assert loss(slice(3, 20), scores=scores / 10) > 0  # no box counts: all are looked at
