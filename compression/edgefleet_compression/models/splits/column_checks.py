"""Whether the columns of a data file are what a model takes; a refusal is a line that says what was expected. Pure."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.npz_file import BLOCK_BYTES, ArrayHeader
from edgefleet_compression.models.splits.places import ColumnPlace
from edgefleet_compression.samples import Column
from edgefleet_protocol.datatypes import BY_NAME, BYTES
from edgefleet_protocol.signature import Axis, Tensor

TEXT = "text of a fixed width"
LABEL_KINDS = "biufUS"
LARGEST = 2**63
"""What is as large has no place among whole numbers with a sign, as which labels and sizes are read."""
Sizes = NDArray[np.int64] | None
"""Lengths [samples] or shapes [samples, rank] of a column; None if all its samples are of one shape."""


@dataclass(frozen=True, slots=True)
class WantedInput:
    """An input as its samples must be: of one of these datatypes, and each of this shape.

    `also` is a second way to give them, in words.
    """

    name: str
    datatypes: tuple[str, ...]
    shape: tuple[Axis, ...]
    also: str = ""

    @classmethod
    def of(cls, tensor: Tensor) -> "WantedInput":
        """What a model's input takes as it is."""
        return cls(tensor.name, (tensor.datatype,), tensor.sample_shape)

    def by_step(self) -> "WantedInput":
        """The same for samples that are sequences: such a one at each step, along their first axis."""
        return replace(self, shape=("steps", *self.shape))

    def takes(self, dtype: np.dtype[Any]) -> bool:
        """Whether samples may be of this type."""
        return any(
            dtype.kind in "US" if datatype == BYTES else dtype == np.dtype(BY_NAME[datatype].numpy)
            for datatype in self.datatypes
        )

    @property
    def shown(self) -> str:
        """The first type that it takes."""
        first = self.datatypes[0]
        return TEXT if first == BYTES else np.dtype(BY_NAME[first].numpy).name


def check_samples(
    place: ColumnPlace, header: ArrayHeader, sizes: NDArray[np.int64] | None, wanted: WantedInput
) -> None:
    """Check what can be known before samples are read.

    Args:
        place: where they lie.
        header: of the values.
        sizes: lengths or shapes, if they are not of one shape.
        wanted: what they must be.

    Raises:
        DataError: there are none, or they have another type or shape.
    """
    shape = header.shape if sizes is None else (len(sizes), *header.shape[1:])
    if shape and not math.prod(shape):
        raise DataError(f"{place.name} is empty: give samples")
    if place.lengths is not None:
        given, rest, lead = header.shape[1:], wanted.shape[1:], "sum of lengths"
        fits = bool(wanted.shape) and _sized(sizes, wanted.shape[:1])
    elif place.shapes is not None:
        given, rest, lead = (), (), "all their numbers"
        fits = _sized(sizes, wanted.shape)
    else:
        given, rest, lead = header.shape[1:], wanted.shape, "N"
        fits = bool(header.shape)
    if not (wanted.takes(header.dtype) and fits and _fits(given, rest)):
        axes = ", ".join([lead, *map(_shown, rest)])
        each = "" if sizes is None else f", each sample [{', '.join(map(_shown, wanted.shape))}]"
        raise DataError(f"{place.values} is {header}: give {wanted.shown} [{axes}]{each}{wanted.also}")
    if sizes is not None and (empty := np.flatnonzero((sizes == 0).reshape(len(sizes), -1).any(1))).size:
        raise DataError(f"sample {empty[0]} of {place.name} is empty: leave it out")


def check_sizes(place: ColumnPlace, sizes: NDArray[Any], header: ArrayHeader) -> None:
    """Check that lengths or shapes say where each sample begins and ends.

    Raises:
        DataError: they don't.
    """
    if place.shapes and len(header.shape) != 1:
        raise DataError(f"{place.values} is {header}: give all numbers in one row, as {place.shapes} cuts them up")
    name, axes, what = (place.lengths, 1, "how long") if place.lengths else (place.shapes, 2, "of what shape")
    if sizes.ndim != axes or sizes.dtype.kind not in "iu" or (sizes.size and sizes.min() < 0):
        wanted = "[N]" if axes == 1 else "[N, axes]"
        raise DataError(f"{name} is {sizes.dtype} {list(sizes.shape)}: give int64 {wanted}, {what} each sample is")
    if sizes.size and int(sizes.max()) >= LARGEST:
        raise DataError(f"{name} holds {int(sizes.max())}: no array is that large; correct it")
    # In whole numbers of any size: products of large shapes would wrap around.
    told = sum(math.prod(row) for row in sizes.reshape(len(sizes), -1).tolist())
    rows = header.shape[0] if header.shape else 0
    if told != rows:
        have = "rows" if axes == 1 else "numbers"
        raise DataError(f"{name} adds up to {told}, and {place.values} has {rows} {have}: correct one of them")


def check_finite(name: str, values: NDArray[Any]) -> None:
    """Check, a block at a time, that floats are finite.

    Raises:
        DataError: one is not.
    """
    if values.dtype.kind != "f":
        return
    rows = max(BLOCK_BYTES // max(values[:1].nbytes, 1), 1)
    if not all(np.isfinite(values[start : start + rows]).all() for start in range(0, len(values), rows)):
        raise DataError(f"{name} holds values that are not finite: repair the data file")


def check_counts(counts: dict[str, int]) -> None:
    """Check that every input has as many samples.

    Raises:
        DataError: two have not.
    """
    (first, count), *others = counts.items()
    for name, other in others:
        if other != count:
            raise DataError(f"{first} has {count} samples and {name} {other}: give one of each for every sample")


def check_plain_labels(name: str, labels: Column, count: int) -> None:
    """Check that there is a label for each sample; whether it is a right one, a task knows.

    Raises:
        DataError: there isn't, or it can be no label.
    """
    values = labels.values
    if values.dtype.kind not in LABEL_KINDS or not values.ndim:
        raise DataError(f"{name} is {values.dtype} {list(values.shape)}: give numbers, or {TEXT}, one label a sample")
    if len(labels) != count:
        raise DataError(f"{name} has {len(labels)} labels for {count} samples: give one label for each")
    if values.dtype.kind == "u" and values.size and (top := int(values.max())) >= LARGEST:
        raise DataError(f"{name} holds {top}: a label of whole numbers is below {LARGEST:,}")
    check_finite(name, values)


def check_classes(name: str, labels: Column, count: int, classes: int | None) -> None:
    """Check that each sample has the number of a class as its label; `classes` is None if it is not known how many.

    Raises:
        DataError: one has not.
    """
    y, top = labels.values, "the last class" if classes is None else classes - 1
    wrong = not labels.is_dense or y.shape != (count,) or y.dtype.kind not in "iu" or y.min() < 0
    if wrong or (classes is not None and y.max() >= classes):
        raise DataError(f"{name} must hold one label from 0 to {top} for each of {count} samples")


def check_each_label(name: str, labels: Iterable[Any], label: Callable[[Any], object]) -> None:
    """Check every label as a task reads it.

    Args:
        name: what the labels are called.
        labels: of all samples, or all steps; None where there is none.
        label: reads one; raises ValueError.

    Raises:
        DataError: the first that cannot be read, with its place from 0.
    """
    for row, raw in enumerate(labels):
        try:
            if raw is not None:
                label(raw)
        except ValueError as error:
            raise DataError(f"label {row} of {name}: {error}") from None


def _fits(given: Sequence[int], wanted: Sequence[Axis]) -> bool:
    return len(given) == len(wanted) and all(
        size == axis for size, axis in zip(given, wanted, strict=True) if isinstance(axis, int)
    )


def _sized(sizes: Sizes, wanted: Sequence[Axis]) -> bool:
    """Whether every sample has sizes that fit."""
    assert sizes is not None  # of a column that is not dense
    rows = sizes.reshape(len(sizes), -1)
    return rows.shape[1] == len(wanted) and all(
        bool((rows[:, place] == axis).all()) for place, axis in enumerate(wanted) if isinstance(axis, int)
    )


def _shown(axis: Axis) -> str:
    return str(axis) if isinstance(axis, int) else "any"
