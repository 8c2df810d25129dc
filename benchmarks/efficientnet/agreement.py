"""How often a file answers as another does, with an interval that knows that crops of one picture are alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class MeanShare:
    """A mean over crops with its 95 % interval, and the mean of each picture."""

    mean: float
    low: float
    high: float
    by_picture: dict[str, float]

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def by_picture(values: NDArray[np.float64], pictures: Sequence[str], seed: int = 0) -> MeanShare:
    """The mean of values [N], with an interval from drawing pictures anew, each with all of its crops.

    Args:
        values: one for each crop: 1 where two files agree, or the difference of two such.
        pictures: of each crop.
        seed: of the draws.
    """
    names = sorted(set(pictures))
    owners = np.asarray([names.index(picture) for picture in pictures])
    counts = np.bincount(owners, minlength=len(names))
    sums = np.bincount(owners, weights=values, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(0, len(names), (DRAWS, len(names)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), TAILS)
    means = {name: float(total / count) for name, total, count in zip(names, sums, counts, strict=True)}
    return MeanShare(float(values.mean()), float(low), float(high), means)
