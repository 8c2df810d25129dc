"""Intervals: Wilson's against its published figures, the bootstrap against what theory says of a mean."""

import numpy as np
import pytest

from edgefleet_tasks.errors import NotScored
from edgefleet_tasks.intervals import bootstrapped, wilson


@pytest.mark.parametrize(
    ("hits", "samples", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1860, 2000, 0.9180, 0.9404)]
)
def test_the_interval_of_a_share_is_wilsons(hits: int, samples: int, low: float, high: float) -> None:
    found = wilson(hits, samples)
    assert found.bounds == pytest.approx((low, high), abs=5e-5)
    assert found.value == hits / samples


def test_without_samples_there_is_no_figure() -> None:
    with pytest.raises(NotScored, match="no samples"):
        wilson(0, 0)
    for samples in (0, 5):
        with pytest.raises(NotScored, match="no such figure"):
            bootstrapped(lambda weights: float("nan"), samples)


def test_a_bootstrapped_mean_has_the_interval_that_theory_gives_and_the_same_each_time() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrapped(lambda weights: float(weights @ values / weights.sum()), 400)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.bounds == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 5)
    assert found == bootstrapped(lambda weights: float(weights @ values / weights.sum()), 400)
