"""The splits of a model's npz: `x_*` samples and `y_*` labels for calib, train, val and test.

An npz of `x` (and `y`) alone is split by seed: a fifth for calib, two fifths each for val and test, nothing for train.
"""

import zipfile
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.samples import ArraySplit
from edgefleet_contract.card import ModelCard
from edgefleet_profiles.spelling import nearest

SplitName = Literal["calib", "train", "val", "test"]

SPLITS: tuple[SplitName, ...] = get_args(SplitName)
BESIDE: tuple[SplitName, ...] = ("calib", "train")
"""What compressing may take, and judging does not."""
SHARES: dict[str, tuple[float, float]] = {"calib": (0.0, 0.2), "val": (0.2, 0.6), "test": (0.6, 1.0)}
"""Which part of the shuffled samples each split gets if the file has only `x`."""
SPLIT_SEED = 0
LEAST_TO_SPLIT = 10
GOLDEN_LEAST = 4
"""How many samples a device's self-test has at least."""


class Data:
    """An npz read split by split; nothing in it is ever unpickled."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        classes: int | None,
        *,
        scale: float = 1 / 255,
        labelled: bool = True,
    ) -> None:
        """Read a split from the file when it is first asked for.

        Args:
            path: the npz.
            shape: the shape that each sample must have.
            classes: labels must be below this; None if unknown.
            scale: what samples are multiplied by; float32 samples need 1.
            labelled: whether labels must be there.
        """
        self._path = path
        self._shape = shape
        self._classes = classes
        self._scale = scale
        self._labelled = labelled
        self._splits: dict[SplitName, ArraySplit] = {}

    def split(self, name: SplitName) -> ArraySplit:
        """One split, checked.

        Raises:
            DataError: it is missing, or its arrays have another type, shape or range.
        """
        if name not in self._splits:
            self._splits[name] = self._read(name)
        return self._splits[name]

    def forget(self, name: SplitName) -> None:
        """Free the memory of a split; it is read again when it is asked for."""
        self._splits.pop(name, None)

    def has(self, name: SplitName) -> bool:
        """Whether the file has samples for a split; they are checked only when they are read."""
        return samples_in(self._path, name) > 0

    def _read(self, name: SplitName) -> ArraySplit:
        x, y = _arrays(self._path, name, self._labelled)
        rows = ", ".join(map(str, self._shape))
        if not len(x):
            raise DataError(f"x_{name} is empty: give samples")
        taken = x.dtype == np.uint8 or (x.dtype == np.float32 and self._scale == 1)
        if not taken or x.shape[1:] != self._shape:
            raise DataError(
                f"x_{name} is {x.dtype} {list(x.shape)}: give uint8 [N, {rows}], or float32 with a scale of 1"
            )
        if x.dtype == np.float32 and not np.isfinite(x).all():
            raise DataError(f"x_{name} holds values that are not finite: repair the data file")
        if y is None or (not self._labelled and y.dtype.kind in "iu" and y.size and (y == -1).all()):
            return ArraySplit(x, None)
        self._check_labels(name, len(x), y)
        return ArraySplit(x, y.astype(np.int64))

    def _check_labels(self, name: SplitName, count: int, y: NDArray[Any]) -> None:
        top = "the last class" if self._classes is None else self._classes - 1
        wrong = y.shape != (count,) or y.dtype.kind not in "iu" or y.min() < 0
        if wrong or (self._classes is not None and y.max() >= self._classes):
            raise DataError(f"y_{name} must hold one label from 0 to {top} for each of {count} samples")


def check_golden(val: ArraySplit) -> None:
    """Check that there are enough samples of val for a device's self-test.

    Raises:
        DataError: there are fewer than four.
    """
    if len(val.x) < GOLDEN_LEAST:
        raise DataError(f"val holds {len(val.x)} samples: give {GOLDEN_LEAST} or more, as a device's self-test takes")


def check_arrays(path: Path) -> None:
    """Check that every array of a data file is one that is read.

    Raises:
        DataError: one is not, or the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as npz:
            names = [name.removesuffix(".npy") for name in npz.namelist()]
    except (OSError, zipfile.BadZipFile):
        return  # the first look at it says so
    split = [name for name in names if name.startswith("x_")]
    known = [f"{part}_{name}" for part in "xy" for name in SPLITS] if split else ["x", "y"]
    if unread := [name for name in names if name not in known]:
        raise DataError(f"the data file's '{unread[0][:40]}' would be ignored: {nearest(unread[0], known)}")


def check_beside(data: Data) -> None:
    """Check the splits besides val and test, if they are there.

    Raises:
        DataError: their arrays have another type, shape or range.
    """
    for name in BESIDE:
        if data.has(name):
            data.split(name)
            data.forget(name)  # training data may be large


def open_data(path: Path, card: ModelCard, classes: int | None = None) -> Data:
    """The data file of a card; only a model with a built-in architecture must have labels, to train with."""
    known = len(card.labels) or classes
    labelled = card.door == "architecture"
    return Data(path, card.input.shape, known, scale=card.preprocessing.scale, labelled=labelled)


def samples_in(path: Path, name: SplitName) -> int:
    """How many samples a data file has for a split, by its headers alone; 0 if there are none that can be read."""
    try:
        with zipfile.ZipFile(path) as npz:
            if f"x_{name}.npy" in npz.namelist():
                return _rows(npz, f"x_{name}.npy")
            begin, end = SHARES.get(name, (0.0, 0.0))
            return round((end - begin) * _rows(npz, "x.npy"))
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile):
        return 0


def _rows(npz: zipfile.ZipFile, member: str) -> int:
    with npz.open(member) as file:
        version = npy.read_magic(file)
        shape = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)[0]
    return int(shape[0])


def first_look(path: Path) -> tuple[tuple[int, ...], str]:
    """The shape of one sample of val, and its type."""
    x, _ = _arrays(path, "val", labelled=False)
    return x.shape[1:], str(x.dtype)


def _arrays(path: Path, name: SplitName, labelled: bool) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Samples and labels of a split, from the file's own split or as its share of `x` and `y`."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as npz:
            if name in SHARES and "x" in npz and not any(key.startswith("x_") for key in npz):
                return _share(name, npz["x"], npz.get("y"), labelled)
            wanted = (f"x_{name}", f"y_{name}") if labelled else (f"x_{name}",)
            if missing := [key for key in wanted if key not in npz]:
                raise DataError(f"the data file has no {' and no '.join(missing)}: add the split")
            return npz[f"x_{name}"], npz.get(f"y_{name}")
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"the data file is not an npz of plain arrays ({error}): write it with numpy.savez_compressed"
        ) from None


def _share(
    name: SplitName, x: NDArray[Any], y: NDArray[Any] | None, labelled: bool
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if x.ndim < 1 or len(x) < LEAST_TO_SPLIT:
        raise DataError(f"x is {list(x.shape)}: give {LEAST_TO_SPLIT} samples or more to split, or x_val and x_test")
    if y is not None and y.shape != x.shape[:1]:
        raise DataError(f"y is {list(y.shape)}: give one label for each of the {len(x)} samples of x")
    if y is None and labelled:
        raise DataError("the data file has no y: add the labels")
    # RandomState, for its stream is frozen: the same file is split alike by every version of numpy.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(x))
    begin, end = (round(share * len(x)) for share in SHARES[name])
    rows = np.sort(order[begin:end])
    return x[rows], None if y is None else y[rows]
