"""Data that can be used and tells little is remarked when a model is added."""

import numpy as np
import pytest

from edgefleet_compression.models.remarks import remarks_on
from edgefleet_compression.models.samples import ArraySplit


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


def test_samples_of_one_class_are_remarked() -> None:
    (said,) = remarks_on(split(100, [3] * 100))
    assert said == "every sample of val is of class 3: a variant that always answers it looks perfect; add others"
