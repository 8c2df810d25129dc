"""Labels of different lengths: all their values one after the other, and how many each sample has."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ragged:
    """`values` [all, ...] of all samples in order, of which each has as many as `lengths` [samples] says."""

    values: NDArray[Any]
    lengths: NDArray[Any]

    def __post_init__(self) -> None:
        if self.lengths.ndim != 1 or self.lengths.dtype.kind not in "iu":
            raise ValueError(
                f"lengths are whole numbers [samples]; not {self.lengths.dtype} {list(self.lengths.shape)}"
            )
        if self.values.ndim < 1:
            raise ValueError("values are [all, ...], one after the other; not a single one")
        # As Python's integers: those of numpy overflow without a word, and may then fit.
        counts = self.lengths.tolist()
        if min(counts, default=0) < 0 or sum(counts) != len(self.values):
            raise ValueError(
                f"lengths add up to {sum(counts)}, but there are {len(self.values)} values: correct either"
            )

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The values of one sample after the other."""
        ends = np.cumsum(self.lengths, dtype=np.int64).tolist()
        for end, length in zip(ends, self.lengths.tolist(), strict=True):
            yield self.values[end - length : end]
