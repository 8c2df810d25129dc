"""`model add` remarks a model of any scored task whose answers fit their own labels no better than shuffled ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgefleet_compression.models.door.chance import alike, by_chance, is_by_chance
from edgefleet_compression.models.door.taking import TakenModel
from edgefleet_compression.samples import Column, RawLabels, Samples, Split
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import PROBABILITIES, BoxReading, OutputColumns, Spec
from edgefleet_tasks.registry import task_named

RNG = np.random.default_rng(5)
PLACES = RNG.uniform(0, 80, (16, 1, 2)).astype(np.float32)
BOXES = np.concatenate([PLACES, PLACES + 12, np.full((16, 1, 1), 0.9, np.float32)], axis=2)
TRUE = np.concatenate([np.zeros((16, 1, 1)), PLACES, PLACES + 12], axis=2)
READING = BoxReading(OutputColumns(0, 0, 4), OutputColumns(0, 4, 1))
NUMBERS = RNG.normal(size=(16, 1)).astype(np.float32)


def taken(task: str, output: Any, declared: Spec) -> TakenModel:
    shape = output.shape[1:]
    signature = Signature((Tensor("x", "FP32", (None, 1)),), (Tensor("y", "FP32", (None, *shape)),))
    spec = task_named(task).spec(signature, [[output]], declared)
    return TakenModel(task, signature, True, 1.0, declared, spec, [output], ())


def said(task: str, output: Any, labels: Any, declared: Spec) -> str | None:
    return by_chance(
        taken(task, output, declared), Split(Samples({"x": Column(NUMBERS)}), RawLabels(Column(np.asarray(labels))))
    )


def test_a_detector_whose_boxes_are_mapped_wrongly_is_remarked_and_a_right_one_is_not() -> None:
    declared = Spec(PROBABILITIES, boxes=READING)
    assert said("detection", BOXES, TRUE, declared) is None
    wrong = replace(READING, form="cxcywh")
    told = said("detection", BOXES, TRUE, replace(declared, boxes=wrong))
    assert told is not None and told.startswith("F1 of boxes of the first 16 samples of val is 0 %, no more than with")


@pytest.mark.parametrize(("labels", "remarked"), [(NUMBERS, False), (NUMBERS * 1.2, False), (100 - NUMBERS, True)])
def test_so_is_a_regressor(labels: Any, remarked: bool) -> None:
    assert (said("regression", NUMBERS, labels, Spec()) is not None) == remarked


def test_what_is_poor_but_better_than_chance_and_what_is_all_alike_are_not() -> None:
    assert not is_by_chance(np.eye(16) * 0.3)
    assert not is_by_chance(np.ones((16, 16)))
    assert is_by_chance(np.zeros((16, 16)))


@pytest.mark.parametrize(
    ("task", "output", "declared", "remarked"),
    [
        ("detection", BOXES, Spec(PROBABILITIES, boxes=READING), False),
        ("detection", BOXES * [1, 1, 1, 1, 0.01], Spec(PROBABILITIES, boxes=READING), True),
        ("detection", BOXES[:4] * [1, 1, 1, 1, 0.01], Spec(PROBABILITIES, boxes=READING), False),
        ("regression", NUMBERS, Spec(), False),
        ("regression", np.ones((16, 1), np.float32), Spec(), True),
        ("classification", np.eye(16, dtype=np.float32), Spec(), False),
        ("classification", np.eye(16, dtype=np.float32)[[3] * 16], Spec(), True),
    ],
)
def test_answers_that_are_all_the_same_are_remarked(task: str, output: Any, declared: Spec, remarked: bool) -> None:
    assert (alike(taken(task, output, declared)) is not None) == remarked
