"""Which task a model does: guessed from what there is, with the reason, or not at all."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.tasks.worlds import BOXES, WORLDS, takes

from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.arrays import by_sample
from edgefleet_tasks.guessing import infer

NAMES = Spec(names=("a", "b", "c"))
SHARES = [np.full((4, 3), 1 / 3, "f4")]


def ints(*shape: int, below: int) -> Any:
    return np.random.default_rng(0).integers(0, below, shape)


def gives(datatype: str, *shape: Any) -> Signature:
    return takes(Tensor("y", datatype, shape))


CLASSES, VECTOR, NUMBER = gives("FP32", None, 3), gives("FP32", None, 128), gives("FP32", None, 1)
LOGISTIC = takes(Tensor("label", "INT64", (None,)), Tensor("probabilities", "FP32", (None, 3)))


@pytest.mark.parametrize(
    ("signature", "labels", "declared", "answers", "task"),
    [
        (CLASSES, ints(20, below=3), Spec(), None, "classification"),
        (CLASSES, ints(20, 1, below=3), Spec(), None, "classification"),
        (LOGISTIC, ints(20, below=3), Spec(), None, "classification"),
        (gives("FP32", 1, 1000, 1, 1), ints(20, below=1000), Spec(), None, "classification"),
        (CLASSES, np.array(["a", "c"]), NAMES, None, "classification"),
        (CLASSES, None, NAMES, None, "classification"),
        (CLASSES, None, Spec(), SHARES, "classification"),
        (CLASSES, ints(20, 3, below=2), Spec(), None, "multilabel"),
        (CLASSES, (ints(9, below=3), np.array([4, 5])), Spec(), None, "multilabel"),
        (NUMBER, ints(20, below=2), Spec(), None, "multilabel"),
        (NUMBER, np.linspace(0, 3, 20), Spec(), None, "regression"),
        (NUMBER, ints(20, below=90), Spec(), None, "regression"),
        (CLASSES, np.random.default_rng(0).normal(size=(20, 3)), Spec(), None, "regression"),
        (gives("FP32", None, 24, 2), np.random.default_rng(0).normal(size=(20, 24, 2)), Spec(), None, "regression"),
        (VECTOR, np.arange(400) // 2, Spec(), None, "embedding"),
        (gives("FP32", None, 4, 6), None, Spec(boxes=BOXES), None, "detection"),
        (gives("FP32", None, 3, None, None), ints(4, 32, 32, below=3), Spec(), None, "segmentation"),
        (gives("INT64", None, None), ints(4, 9, below=30), Spec(), None, "sequence"),
        (gives("FP32", None, None, 32), (ints(9, below=30), np.array([4, 5])), Spec(), None, "sequence"),
        (gives("BYTES", None), np.array(["a text"]), Spec(), None, "sequence"),
        (gives("BYTES", None), None, Spec(), None, "sequence"),
        (gives("BYTES", None, 5), None, Spec(), None, "outputs"),
    ],
)
def test_a_task_is_guessed_with_what_speaks_for_it(
    signature: Signature, labels: Any, declared: Spec, answers: Any, task: str
) -> None:
    guess = infer(signature, *(labels if isinstance(labels, tuple) else (labels, None)), declared, answers)
    assert guess.task == task
    assert guess.why and "\n" not in guess.why


@pytest.mark.parametrize(
    ("signature", "labels", "told"),
    [
        (VECTOR, None, r"may be classification, embedding, multilabel, outputs, regression: name one with --task"),
        (CLASSES, np.eye(3)[ints(20, below=3)], "each label has a single 1"),
        (
            takes(Tensor("boxes", "FP32", (None, 9, 4))),
            (np.ones((3, 5)), np.array([1, 2])),
            "map them in the card",
        ),
        (CLASSES, np.array(["x"]), "name one with --task"),
        (CLASSES, ints(20, below=3) - 1, "name one with --task"),
    ],
)
def test_what_may_be_several_is_said_and_not_guessed(signature: Signature, labels: Any, told: str) -> None:
    guess = infer(signature, *(labels if isinstance(labels, tuple) else (labels,)))
    assert guess.task is None
    assert told in guess.why


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_models_of_all_tasks_with_labels_are_guessed_right(make: Any) -> None:
    world, lengths = make(), None
    labels = None if world.labels is None or world.task == "detection" else world.labels
    if labels is not None and len({np.size(one) for one in labels}) > 1:
        lengths = np.array(list(map(len, labels)))
        labels = np.concatenate(labels)
    given = None if labels is None else np.array(labels)
    guess = infer(world.signature, given, lengths, world.declared, world.outputs)
    assert guess.task == world.task or world.task == "outputs"


def test_outputs_without_a_batch_are_those_of_one_sample() -> None:
    whole = Signature((Tensor("x", "FP32", (3, None, None)),), (Tensor("boxes", "FP32", (None, 4)),))
    assert by_sample([np.ones((1, 4))], whole, 1)[0].shape == (1, 1, 4)
    batched = takes(Tensor("y", "FP32", (None, 4)))
    assert by_sample([np.ones((1, 4))], batched, 1)[0].shape == (1, 4)
    assert by_sample([np.ones((5, 4))], batched, 5)[0].shape == (5, 4)
    assert by_sample([np.ones((7, 4))], batched, 1)[0].shape == (1, 7, 4)
    elsewhere = Signature(batched.inputs, (replace(batched.outputs[0], batched=True, batch_axis=1),))
    assert by_sample([np.ones((7, 5))], elsewhere, 5)[0].shape == (5, 7)
    with pytest.raises(ValueError, match='for 5 samples: ask for one at a time, with batch = "none"'):
        by_sample([np.ones((7, 4))], batched, 5)
