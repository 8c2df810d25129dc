"""Figures over a split, each with its interval of 95 %."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.intervals import Interval
from edgefleet_tasks.errors import NotScored

Z_95 = 1.959964
RESAMPLES = 500
SEED = 20_260_501
"""Fixed, so that the same answers have the same interval."""
SampleWeights = NDArray[np.float64]
"""float64 [samples]: how often each sample counts."""


def wilson(hits: int, samples: int) -> Interval:
    """The share of hits (Wilson 1927).

    Raises:
        NotScored: there are no samples.
    """
    if not samples:
        raise NotScored("there are no samples to score: give some with labels")
    share = hits / samples
    return _around(share, share * (1 - share), samples)


def mean_score(scores: Sequence[float] | NDArray[np.float64]) -> Interval:
    """The mean of scores from 0 to 1: Wilson's interval, with their own variance in place of a share's.

    Raises:
        NotScored: there are none.
    """
    values = np.asarray(scores, np.float64)
    if not len(values):
        raise NotScored("there are no samples to score: give some with labels")
    return _around(float(values.mean()), float(values.var()), len(values))


def _around(mean: float, variance: float, samples: int) -> Interval:
    z2 = Z_95**2
    middle = (mean + z2 / (2 * samples)) / (1 + z2 / samples)
    half = Z_95 / (1 + z2 / samples) * math.sqrt(variance / samples + z2 / (4 * samples**2))
    return Interval(mean, min(mean, max(0.0, middle - half)), max(mean, min(1.0, middle + half)))


def bootstrapped(figure: Callable[[SampleWeights], float], samples: int) -> Interval:
    """A figure of samples that each count as often as a weight says (Efron 1979, percentiles).

    Args:
        figure: of weights; NaN where samples with these have none.
        samples: how many there are.

    Raises:
        NotScored: there are no samples, or they have no such figure.
    """
    value = figure(np.ones(samples)) if samples else math.nan
    if not math.isfinite(value):
        raise NotScored(f"{samples} samples have no such figure: give more, with labels that differ")
    # The raw stream of a bit generator is fixed; how numpy draws from it may change with its version.
    stream, found = np.random.PCG64(SEED), []
    for _ in range(RESAMPLES):
        drawn = np.asarray(stream.random_raw(samples), np.uint64) % np.uint64(samples)
        found.append(figure(np.bincount(drawn.astype(np.int64), minlength=samples).astype(np.float64)))
    low, high = np.quantile([one for one in found if math.isfinite(one)] or [value], [0.025, 0.975])
    return Interval(value, min(value, float(low)), max(value, float(high)))
