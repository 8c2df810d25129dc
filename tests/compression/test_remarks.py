"""Data that can be used and tells little is remarked when a model is added."""

import numpy as np
import pytest

from edgefleet_compression.models.remarks import remarks_on
from edgefleet_compression.samples import ArraySplit


def split(samples: int, y: list[int] | None = None) -> ArraySplit:
    return ArraySplit(np.zeros((samples, 2), np.uint8), None if y is None else np.array(y))


@pytest.mark.parametrize(("samples", "points"), [(4, 49), (12, 28), (96, 10)])
def test_few_samples_are_said_to_tell_little_with_how_little(samples: int, points: int) -> None:
    (said,) = remarks_on(split(samples))
    assert said.startswith(f"val has {samples} samples, by which accuracy is known to within {points} points at best")
    assert said.endswith("with fewer than 97")


def test_enough_samples_of_several_classes_are_not_remarked() -> None:
    assert remarks_on(split(97)) == ()
    assert remarks_on(split(100, [0, 1] * 50)) == ()


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
    (said,) = remarks_on(split(100, labels), answered)
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
    assert remarks_on(split(100, labels), answered) == ()


def test_samples_of_one_class_are_remarked() -> None:
    (said,) = remarks_on(split(100, [3] * 100))
    assert said == "every sample of val is of class 3: a variant that always answers it looks perfect; add others"
