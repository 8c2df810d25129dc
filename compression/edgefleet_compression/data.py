"""The splits of a model's npz: `x_*` uint8 samples and `y_*` labels for calib, train, val and test."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError

SplitName = Literal["calib", "train", "val", "test"]
Samples = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Samples uint8 [N, *shape] with their labels int64 [N]."""

    x: Samples
    y: Labels

    def first(self, count: int) -> "Split":
        """The first `count` samples; all where 0 is asked or fewer are there."""
        return Split(self.x[:count], self.y[:count]) if count else self


class Data:
    """An npz read split by split; nothing in it is ever unpickled."""

    def __init__(self, path: Path, shape: tuple[int, ...], classes: int) -> None:
        """Read from a file, when a split is asked for.

        Args:
            path: the npz.
            shape: the shape that each sample must have.
            classes: labels must be below this.
        """
        self._path = path
        self._shape = shape
        self._classes = classes
        self._splits: dict[SplitName, Split] = {}

    def split(self, name: SplitName) -> Split:
        """One split, checked.

        Raises:
            DataError: it is missing, or its arrays have another type, shape or range.
        """
        if name not in self._splits:
            self._splits[name] = self._read(name)
        return self._splits[name]

    def _arrays(self, *keys: str) -> list[NDArray[Any]]:
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as npz:
                if missing := [key for key in keys if key not in npz]:
                    raise DataError(f"the data file holds no {' and no '.join(missing)}: add the split")
                return [npz[key] for key in keys]
        except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise DataError(
                f"the data file is no npz of plain arrays ({error}): write it with numpy.savez_compressed"
            ) from None

    def _read(self, name: SplitName) -> Split:
        x, y = self._arrays(f"x_{name}", f"y_{name}")
        if x.dtype != np.uint8 or x.shape[1:] != self._shape or not len(x):
            raise DataError(
                f"x_{name} is {x.dtype} {list(x.shape)}: give uint8 [N, {', '.join(map(str, self._shape))}]"
            )
        if y.shape != (len(x),) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= self._classes:
            raise DataError(f"y_{name} must hold one label from 0 to {self._classes - 1} for each of {len(x)} samples")
        return Split(x, y.astype(np.int64))
