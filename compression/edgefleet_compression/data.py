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
        """Look into the file.

        Args:
            path: the npz.
            shape: the shape that each sample must have.
            classes: labels must be below this.
        """
        self._shape = shape
        self._classes = classes
        self._splits: dict[SplitName, Split] = {}
        try:
            self._npz: Any = np.load(path, allow_pickle=False)
            self._keys = frozenset(self._npz.files)
        except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
            raise DataError(f"the data file is no npz ({error}): write it with numpy.savez_compressed") from None

    def split(self, name: SplitName) -> Split:
        """One split, checked.

        Raises:
            DataError: it is missing, or its arrays have another type, shape or range.
        """
        if name not in self._splits:
            self._splits[name] = self._read(name)
        return self._splits[name]

    def _read(self, name: SplitName) -> Split:
        if missing := sorted({f"x_{name}", f"y_{name}"} - self._keys):
            raise DataError(f"the data file holds no {' and no '.join(missing)}: add the split '{name}'")
        try:
            x, y = self._npz[f"x_{name}"], self._npz[f"y_{name}"]
        except (ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"the split '{name}' cannot be read ({error}): write plain arrays") from None
        if x.dtype != np.uint8 or x.shape[1:] != self._shape or not len(x):
            raise DataError(
                f"x_{name} is {x.dtype} {list(x.shape)}: give uint8 [N, {', '.join(map(str, self._shape))}]"
            )
        if y.shape != (len(x),) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= self._classes:
            raise DataError(f"y_{name} must hold one label from 0 to {self._classes - 1} for each of {len(x)} samples")
        return Split(x, y.astype(np.int64))
