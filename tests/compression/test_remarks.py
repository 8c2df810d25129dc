"""Data that can be used and tells little is remarked when a model is added."""

from typing import Any

import numpy as np
import pytest

from edgefleet_compression.models.door.remarks import remarks_on
from edgefleet_compression.samples import Column, RawLabels, Samples, Split


def split(samples: int, y: list[Any] | None = None) -> Split:
    labels = None if y is None else RawLabels(Column(np.array(y)))
    return Split(Samples({"x": Column(np.zeros((samples, 2), np.uint8))}), labels)


@pytest.mark.parametrize(
    ("task", "y", "points", "judged", "enough"),
    [
        ("classification", [0, 1] * 2, 49, "accuracy", 97),
        ("classification", [0, 1] * 6, 28, "accuracy", 97),
        ("classification", [0, 1] * 48, 10, "accuracy", 97),
        ("classification", None, 25, "agreement", 30),
        ("regression", [0.5, 1] * 6, 25, "closeness", 30),
        ("embedding", [0, 1] * 6, 25, "agreement", 30),
    ],
)
def test_few_samples_are_said_to_tell_little_with_how_little(
    task: str, y: list[Any] | None, points: int, judged: str, enough: int
) -> None:
    (said,) = remarks_on(split(12, y) if y is None else split(len(y), y), task)
    assert f" samples, by which {judged} is known to within {points} points at best" in said
    assert said.endswith(f"with fewer than {enough}")


def test_enough_samples_of_several_classes_are_not_remarked() -> None:
    assert remarks_on(split(30), "classification") == ()
    assert remarks_on(split(100, [0, 1] * 50), "classification") == ()


PICTURES = [n % 10 for n in range(100)]


@pytest.mark.parametrize(
    ("labels", "answered", "right"),
    [
        (PICTURES, [(n + 1) % 10 for n in range(16)], 0),  # classes counted from another number
        (PICTURES, [0] * 16, 2),  # one answer to everything
        (PICTURES, [0, 1, *[9] * 14], 3),
        ([0, 1] * 50, [1, 0] * 8, 0),  # two classes with each other's names
    ],
)
def test_labels_that_the_model_answers_no_more_than_by_guessing_are_remarked(
    labels: list[int], answered: list[int], right: int
) -> None:
    (said,) = remarks_on(split(100, labels), "classification", answered)
    assert said.startswith(
        f"the model answers {right} of the first 16 samples of val as they are labelled, no more than"
    )
    assert said.endswith("check the order of samples, labels and classes, and preprocessing.scale")


@pytest.mark.parametrize(
    ("labels", "answered"),
    [
        (PICTURES, PICTURES[:16]),
        (PICTURES, [*range(7), *[0] * 9]),  # a weak model, and better than guessing
        ([0, 1] * 50, [0, 0] * 8),  # half is right of two
        ([0] * 95 + [1] * 5, [1, *[0] * 15]),  # hardly anything but one class
        (PICTURES, [1] * 4),  # too few to say so
        (PICTURES, []),
    ],
)
def test_a_model_that_knows_more_than_nothing_or_cannot_be_judged_is_not_remarked(
    labels: list[int], answered: list[int]
) -> None:
    assert remarks_on(split(100, labels), "classification", answered) == ()


def test_samples_of_one_class_are_remarked() -> None:
    (said,) = remarks_on(split(100, [3] * 100), "classification")
    assert said == "every sample of val is of class 3: a variant that always answers it looks perfect; add others"
