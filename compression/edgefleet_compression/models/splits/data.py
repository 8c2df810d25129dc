"""The splits of a model's npz: `x_*` samples and `y_*` labels for calib, train, val and test.

An npz of `x` (and `y`) alone is split by seed: a fifth for calib, two fifths each for val and test, nothing for train.
A model of several inputs has `x_*/INPUT` for each, or `x/INPUT`; see `places` for samples of unequal shapes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.column_checks import WantedInput, check_classes
from edgefleet_compression.models.splits.npz_file import Npz, opened
from edgefleet_compression.models.splits.parts import PartReader, check_to_split, count_of
from edgefleet_compression.models.splits.places import ColumnPlace, columns_in, input_columns, input_places, place_of
from edgefleet_compression.samples import ArraySplit, RawLabels, Split
from edgefleet_contract.card import ModelCard
from edgefleet_profiles.spelling import nearest

SplitName = Literal["calib", "train", "val", "test"]

SPLITS: tuple[SplitName, ...] = get_args(SplitName)
BESIDE: tuple[SplitName, ...] = ("calib", "train")
"""What compressing may take, and judging does not."""
SHARES: dict[str, tuple[float, float]] = {"calib": (0.0, 0.2), "val": (0.2, 0.6), "test": (0.6, 1.0)}
"""Which part of the shuffled samples each split gets if the file has only `x`."""
GOLDEN_LEAST = 4
"""How many samples a device's self-test has at least."""


class SplitFile:
    """An npz read split by split; nothing in it is ever unpickled."""

    def __init__(self, path: Path, reader: PartReader) -> None:
        """Read a split from the file when it is first asked for.

        Args:
            path: the npz.
            reader: how samples and labels must be.
        """
        self._path = path
        self._reader = reader
        self._splits: dict[SplitName, Split] = {}

    def read(self, name: SplitName) -> Split:
        """One split, checked.

        Raises:
            DataError: it is missing, or its arrays have another type, shape or range.
        """
        if name not in self._splits:
            with opened(self._path) as npz:
                x, y = _parts(npz, name)
                self._splits[name] = self._reader.read(npz, x, y, SHARES[name] if x == "x" else None)
        return self._splits[name]

    def forget(self, name: SplitName) -> None:
        """Free the memory of a split; it is read again when it is asked for."""
        self._splits.pop(name, None)

    def has(self, name: SplitName) -> bool:
        """Whether the file has samples for a split; they are checked only when they are read."""
        return samples_in(self._path, name) > 0


class Data(SplitFile):
    """The data of a model that takes one array and answers classes."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        classes: int | None,
        *,
        name: str = "x",
        scale: float = 1 / 255,
        labelled: bool = True,
    ) -> None:
        """Read a split from the file when it is first asked for.

        Args:
            path: the npz.
            shape: the shape that each sample must have.
            classes: labels must be below this; None if unknown.
            name: what the model calls its input.
            scale: what samples are multiplied by; float32 samples need 1.
            labelled: whether labels must be there.
        """
        datatypes = ("UINT8", "FP32") if scale == 1 else ("UINT8",)
        wanted = WantedInput(name, datatypes, shape, also=", or float32 with a scale of 1")
        super().__init__(path, PartReader((wanted,), labelled, partial(check_classes, classes=classes)))

    def split(self, name: SplitName) -> ArraySplit:
        """One split as arrays.

        Raises:
            DataError: it is missing, or its arrays have another type, shape or range.
        """
        return self.read(name).arrays


def labels_in(path: Path, name: SplitName) -> RawLabels | None:
    """The labels of a split, whatever the task; no sample is read. None if there are none.

    Raises:
        DataError: they cannot be read.
    """
    with opened(path) as npz:
        x, y = _parts(npz, name)
        return PartReader(()).read_labels(npz, y, SHARES[name] if x == "x" else None)


def check_golden(val: ArraySplit | Split) -> None:
    """Check that there are enough samples of val for a device's self-test.

    Raises:
        DataError: there are fewer than four.
    """
    if len(val.x) < GOLDEN_LEAST:
        raise DataError(f"val holds {len(val.x)} samples: give {GOLDEN_LEAST} or more, as a device's self-test takes")


def check_arrays(path: Path, inputs: Sequence[str] = ("x",)) -> None:
    """Check that every array of a data file is one that is read.

    Args:
        path: the npz.
        inputs: what the model calls its inputs.

    Raises:
        DataError: one is not, or a column is not whole.
    """
    try:
        with opened(path) as npz:
            names = npz.names
    except DataError:
        return  # the first look at it says so
    splits = [f"_{name}" for name in SPLITS] if _is_split(names) else [""]
    columns = [input_columns(f"x{split}", inputs) for split in splits]
    known = [one for split in columns for one in split.values()] + [(f"y{split}",) for split in splits]
    places = [place for one in known if (place := place_of(one, names))]
    read = {member for place in places for member in place.members}
    if unread := [name for name in names if name not in read]:
        listed = [one[0] for one in known]
        raise DataError(f"the data file's '{unread[0][:40]}' would be ignored: {nearest(unread[0], listed)}")


def check_beside(data: SplitFile) -> None:
    """Check the splits besides val and test, if they are there.

    Raises:
        DataError: their arrays have another type, shape or range.
    """
    for name in BESIDE:
        if data.has(name):
            data.read(name)
            data.forget(name)  # training data may be large


def open_data(path: Path, card: ModelCard, scale: float) -> Data:
    """The data file of a built-in architecture, which needs labels to train with."""
    assert card.input is not None  # by the card's own check
    return Data(path, card.sample_shape, len(card.labels), name=card.input.name, scale=scale)


def architecture_scale(card: ModelCard, path: Path) -> float:
    """What samples of a built-in architecture are multiplied by; without a word of the card, by what they are.

    Raises:
        DataError: there is no val, or no one array of it.
    """
    given = card.preprocessing.scale
    return (1 / 255 if first_look(path)[1] == "uint8" else 1.0) if given is None else given


def samples_in(path: Path, name: SplitName) -> int:
    """How many samples a data file has for a split, by its headers alone; 0 if there are none that can be read."""
    try:
        with opened(path) as npz:
            if _is_split(npz.names):
                return next((count_of(npz, place) for place in columns_in(f"x_{name}", npz.names)), 0)
            begin, end = SHARES.get(name, (0.0, 0.0))
            count = next((count_of(npz, place) for place in columns_in("x", npz.names)), 0)
            return round(end * count) - round(begin * count)
    except DataError:
        return 0


@dataclass(frozen=True, slots=True)
class SampleHeader:
    """What one sample of an input is, by headers alone."""

    rank: int
    dtype: np.dtype[Any]


def sample_headers(path: Path, inputs: Sequence[str]) -> dict[str, SampleHeader]:
    """What the samples of val are, by input; an input without any is left out.

    Raises:
        DataError: the file cannot be read, or a column is not whole.
    """
    with opened(path) as npz:
        x, _ = _parts(npz, "val")
        found = input_places(x, inputs, npz.names)
        return {name: _sample_header(npz, place) for name, place in found.items() if place is not None}


def _sample_header(npz: Npz, place: ColumnPlace) -> SampleHeader:
    header = npz.header(place.values)
    shape = npz.header(place.shapes).shape if place.shapes else ()
    rank = (shape[1] if len(shape) == 2 else 0) if place.shapes else len(header.shape) - (place.lengths is None)
    return SampleHeader(rank, header.dtype)


def first_look(path: Path) -> tuple[tuple[int, ...], str]:
    """The shape of one sample of val of a model with one input, and its type, by its header alone.

    Raises:
        DataError: there is no val, or no one array of it.
    """
    with opened(path) as npz:
        x, y = _parts(npz, "val")
        [*places] = columns_in(x, npz.names)
        if not places:
            raise DataError(f"the data file has no {x}: add the split")
        if len(places) > 1 or len(places[0].members) > 1:
            raise DataError(f"the data file has {', '.join(place.name for place in places)[:400]}: give {x}, one array")
        if x == "x":
            check_to_split(npz, places[0], y)
        header = npz.header(places[0].values)
        return header.shape[1:], str(header.dtype)


def _parts(npz: Npz, name: SplitName) -> tuple[str, str]:
    """Where samples and labels of a split are: in the file's own split, or in what is split."""
    if name in SHARES and not _is_split(npz.names) and any(columns_in("x", npz.names)):
        return "x", "y"
    return f"x_{name}", f"y_{name}"


def _is_split(names: Sequence[str]) -> bool:
    return any(name.startswith("x_") for name in names)
