"""Reads one part of a data file: the columns of samples and labels, whole or as a share that is drawn by seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.column_checks import (
    Sizes,
    WantedInput,
    check_counts,
    check_finite,
    check_plain_labels,
    check_samples,
    check_sizes,
)
from edgefleet_compression.models.splits.npz_file import Npz
from edgefleet_compression.models.splits.places import ColumnPlace, input_columns, input_places, place_of
from edgefleet_compression.samples import Column, RawLabels, Samples, Split

SPLIT_SEED = 0
LEAST_TO_SPLIT = 10
LabelCheck = Callable[[str, Column, int], None]
"""Takes the name of the labels, the labels, and how many samples there are; raises DataError."""


@dataclass(frozen=True)
class PartReader:
    """How a model's samples and labels must be.

    `labelled` says whether labels must be there; where they need not, -1 for every sample stands for none.
    """

    inputs: Sequence[WantedInput]
    labelled: bool = False
    check_labels: LabelCheck = check_plain_labels

    def read(self, npz: Npz, x: str, y: str, share: tuple[float, float] | None = None) -> Split:
        """A part, checked: its headers before anything large is read.

        Args:
            npz: the file.
            x: the name of the part with the samples.
            y: the name of the part with the labels.
            share: from where to where in the samples, shuffled by seed, as shares of all; None takes all as they are.

        Raises:
            DataError: something is missing, or of another type, shape or range.
        """
        if not self.inputs:
            raise DataError("the model takes no input: samples can ask it nothing")
        places = self._places(npz, x, y)
        sizes = {name: _sizes(npz, place) for name, place in places.items()}
        for wanted in self.inputs:
            place = places[wanted.name]
            check_samples(place, npz.header(place.values), sizes[wanted.name], wanted)
        counts = {place.name: count_of(npz, place) for place in places.values()}
        check_counts(counts)
        keep = None
        if share is not None:
            check_to_split(npz, next(iter(places.values())), y)
            keep = shares_of(next(iter(counts.values())), *share)
        columns = {name: _column(npz, place, sizes[name], keep) for name, place in places.items()}
        columns = {name: _as_texts(places[name].values, column) for name, column in columns.items()}
        for name, column in columns.items():
            check_finite(places[name].values, column.values)
        samples = Samples(columns)
        return Split(samples, self._labels(npz, y, len(samples), keep))

    def read_labels(self, npz: Npz, y: str, share: tuple[float, float] | None = None) -> RawLabels | None:
        """The labels of a part alone, as `read` gives them with the samples; None if there are none.

        Raises:
            DataError: they are of another type, shape or range.
        """
        if (place := place_of((y,), npz.names)) is None:
            return None
        count = count_of(npz, place)
        keep = None if share is None else shares_of(count, *share)
        return self._labels(npz, y, count if keep is None else int(keep.sum()), keep)

    def _places(self, npz: Npz, x: str, y: str) -> dict[str, ColumnPlace]:
        names = [wanted.name for wanted in self.inputs]
        found = input_places(x, names, npz.names)
        missing = [columns[0] for name, columns in input_columns(x, names).items() if found[name] is None]
        some = 0 < len(missing) < len(names)
        if self.labelled and place_of((y,), npz.names) is None:
            if not missing and "_" not in y:
                raise DataError(f"the data file has no {y}: add the labels")
            missing.append(y)
        if missing:
            what = "add the split"
            if some:
                what = f"the model takes {', '.join(names)[:400]}: give one array for each"
            raise DataError(f"the data file has no {' and no '.join(missing)[:400]}: {what}")
        return {name: place for name, place in found.items() if place is not None}

    def _labels(self, npz: Npz, y: str, count: int, keep: NDArray[np.bool_] | None) -> RawLabels | None:
        if (place := place_of((y,), npz.names)) is None:
            return None
        column = _column(npz, place, _sizes(npz, place), keep)
        values = column.values
        whole = column.is_dense and values.dtype.kind in "iu"
        if whole and not self.labelled and values.size and (values == -1).all():
            return None
        column = _as_texts(place.values, column)
        self.check_labels(place.name, column, count)
        if whole and values.ndim == 1:
            column = Column(values.astype(np.int64, copy=False))  # classes of any width are the same classes
        return RawLabels(column)


def shares_of(count: int, begin: float, end: float) -> NDArray[np.bool_]:
    """Which of so many samples are in a share, when they are shuffled by seed."""
    # RandomState, for its stream is frozen: the same file is split alike by every version of numpy.
    order = np.random.RandomState(SPLIT_SEED).permutation(count)
    keep = np.zeros(count, np.bool_)
    keep[order[round(begin * count) : round(end * count)]] = True
    return keep


def check_to_split(npz: Npz, place: ColumnPlace, y: str) -> None:
    """Check that there are enough samples to split, and a label for each if there are labels.

    Args:
        npz: the file.
        place: of an input's samples.
        y: the name of the part with the labels.

    Raises:
        DataError: there are not.
    """
    count = count_of(npz, place)
    if count < LEAST_TO_SPLIT:
        least = f"give {LEAST_TO_SPLIT} samples or more to split, or x_val and x_test"
        raise DataError(f"{place.values} is {list(npz.header(place.values).shape)}: {least}")
    labels = place_of((y,), npz.names)
    if labels and count_of(npz, labels) != count:
        shape = list(npz.header(labels.values).shape)
        raise DataError(f"{labels.values} is {shape}: give one label for each of the {count} samples of {place.name}")


def count_of(npz: Npz, place: ColumnPlace) -> int:
    """How many samples or labels a column has, by its header."""
    shape = npz.header(place.lengths or place.shapes or place.values).shape
    return shape[0] if shape else 0


def _sizes(npz: Npz, place: ColumnPlace) -> Sizes:
    if not (name := place.lengths or place.shapes):
        return None
    sizes = npz.read(name)
    check_sizes(place, sizes, npz.header(place.values))
    return sizes.astype(np.int64)


def _column(npz: Npz, place: ColumnPlace, sizes: Sizes, keep: NDArray[np.bool_] | None) -> Column:
    if sizes is None:
        return Column(npz.read(place.values, keep))
    if keep is None:
        values = npz.read(place.values)
    else:
        values = npz.read(place.values, np.repeat(keep, sizes if place.lengths else sizes.prod(axis=1)))
        sizes = sizes[keep]
    return Column(values, lengths=sizes) if place.lengths else Column(values, shapes=sizes)


def _as_texts(name: str, column: Column) -> Column:
    """Bytes as the texts that they are: of bytes, onnxruntime would take how Python writes them, `b'...'`."""
    if column.values.dtype.kind != "S":
        return column
    return Column(_decoded(name, column.values), column.lengths, column.shapes)


def _decoded(name: str, values: NDArray[Any]) -> NDArray[Any]:
    try:
        return np.char.decode(values, "utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{name} holds text that is not UTF-8: write it as numpy's fixed-width text, U") from None
