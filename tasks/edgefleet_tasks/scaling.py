"""Numbers that are compared by a scale, and which of many are kept."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgefleet_tasks.arrays import Numbers

LOW, HIGH = 5, 95
"""Percentiles: so far apart are answers that have nothing to do with each other, a few outliers aside."""


def kept_of(row: NDArray[np.generic], most: int) -> Numbers:
    """At most so many numbers, evenly among all of them; which ones depends on their number alone."""
    if len(row) <= most:
        return row.astype(np.float64)
    return row[np.arange(most) * len(row) // most].astype(np.float64)


def scales_of(rows: Numbers) -> tuple[float, ...]:
    """The scale of each column of [samples, numbers]: how far low and high values are apart.

    Where all are alike it is their size, as there is nothing else to compare an error with; else 1.
    """
    if not rows.size:
        return (1.0,)
    low, high = np.percentile(rows, [LOW, HIGH], axis=0)
    size = np.abs(rows).max(0)
    apart = np.where(high - low > 1e-6 * size, high - low, size)
    return tuple(np.where(apart > 0, apart, 1.0).tolist())


def wrongness(one: Numbers, other: Numbers, scale: Sequence[float]) -> Numbers:
    """The error of each number in scales, at most 1."""
    per_number: Numbers | float = np.asarray(scale) if len(scale) == len(one) else scale[0] if scale else 1.0
    return np.minimum(np.abs(one - other) / per_number, 1.0)
