"""Samples of any signature, and their labels: named columns of numpy arrays, dense or of unequal lengths. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_tasks.arrays import ListedRow

if TYPE_CHECKING:
    from hashlib import _Hash

Feed = Mapping[str, NDArray[Any]]
"""What a session takes, by input name."""
SampleArray = NDArray[np.uint8] | NDArray[np.float32]
Classes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Column:
    """One input of every sample, or their labels.

    Dense, `values` is [samples, *shape]. With `lengths` [samples] it is [sum of lengths, *rest], and each sample has so
    many rows of it. With `shapes` [samples, rank] it is flat, and each sample has a shape of its own.
    """

    values: NDArray[Any]
    lengths: NDArray[np.int64] | None = None
    shapes: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.values if self._sizes is None else self._sizes)

    @property
    def is_dense(self) -> bool:
        """Whether all samples have one shape."""
        return self._sizes is None

    def row(self, row: int) -> NDArray[Any]:
        """One sample's, by its place from 0."""
        if self._sizes is None:
            return np.asarray(self.values[row])
        found = self.values[self._starts[row] : self._starts[row + 1]]
        return found if self.shapes is None else found.reshape(tuple(self.shapes[row]))

    def rows(self, start: int, stop: int) -> "Column":
        """Those of the samples from `start` on and before `stop`; nothing is copied."""
        if self._sizes is None:
            return Column(self.values[start:stop])
        start, stop, _ = slice(start, stop).indices(len(self))
        values = self.values[self._starts[start] : self._starts[max(start, stop)]]
        cut = [None if part is None else part[start:stop] for part in (self.lengths, self.shapes)]
        return Column(values, *cut)

    def digest_into(self, digest: "_Hash") -> None:
        """Add the types, shapes and numbers."""
        for array in (self.values, self.lengths, self.shapes):
            if array is not None:
                digest.update(f"{array.dtype.str} {array.shape}\n".encode())
                digest.update(np.ascontiguousarray(array).data)

    @cached_property
    def _sizes(self) -> NDArray[np.int64] | None:
        """How many rows of `values` each sample has; None if dense."""
        return self.lengths if self.shapes is None else self.shapes.prod(axis=1)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where each sample begins in `values`, and where the last one ends."""
        assert self._sizes is not None  # asked of columns that are not dense
        return np.concatenate(([0], np.cumsum(self._sizes, dtype=np.int64)))


@dataclass(frozen=True, eq=False)
class Samples:
    """What a model is asked, a column an input: in the signature's order, without its state."""

    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        if len({len(column) for column in self.columns.values()}) != 1:
            counts = ", ".join(f"{name} {len(column)}" for name, column in self.columns.items())
            raise ValueError(f"every input must have as many samples, and there are {counts or 'no inputs'}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def is_dense(self) -> bool:
        """Whether all samples have the same shapes."""
        return all(column.is_dense for column in self.columns.values())

    def first(self, count: int) -> "Samples":
        """The first `count` samples; all if `count` is 0 or there are fewer."""
        return self.rows(0, count) if count else self

    def rows(self, start: int, stop: int) -> "Samples":
        """The samples from `start` on and before `stop`; nothing is copied."""
        return Samples({name: column.rows(start, stop) for name, column in self.columns.items()})

    def feed(self, row: int, signature: Signature) -> Feed:
        """One sample as the model takes it, with an axis for the batch where its input has one.

        Raises:
            ValueError: the model has no input of a column's name.
        """
        return {name: _asked(column.row(row), tensor) for name, column, tensor in self._inputs(signature)}

    def batch(self, start: int, stop: int, signature: Signature) -> Feed:
        """Several samples at once, from `start` on and before `stop`.

        Raises:
            ValueError: an input takes no batch, or samples differ in shape.
        """
        inputs = list(self._inputs(signature))
        for name, column, tensor in inputs:
            if not (column.is_dense and tensor.batched):
                why = "has samples of several shapes" if tensor.batched else "takes no batch"
                raise ValueError(f"'{name[:60]}' {why}: ask one sample at a time")
        return {name: column.values[start:stop] for name, column, _ in inputs}

    def steps(self, row: int, signature: Signature) -> Iterator[Feed]:
        """The steps of one sample that is a sequence, each as the model takes it.

        A column with one axis more than the model's input has a step in each of its rows; one without is the same at
        every step.

        Raises:
            ValueError: no column has steps, or two have unequally many.
        """
        found = {name: (column.row(row), tensor) for name, column, tensor in self._inputs(signature)}
        stepped = {name for name, (x, tensor) in found.items() if x.ndim > len(tensor.sample_shape)}
        for step in range(self.step_count(row, signature)):
            yield {name: _asked(x[step] if name in stepped else x, tensor) for name, (x, tensor) in found.items()}

    def step_count(self, row: int, signature: Signature) -> int:
        """How many steps a sample that is a sequence has.

        Raises:
            ValueError: no column has steps, or two have unequally many.
        """
        found = {name: (column.row(row), tensor) for name, column, tensor in self._inputs(signature)}
        counts = {name: len(x) for name, (x, tensor) in found.items() if x.ndim > len(tensor.sample_shape)}
        if len(set(counts.values())) != 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
            raise ValueError(f"sample {row} must have as many steps in each input, and has {told}: give [steps, ...]")
        return next(iter(counts.values()))

    def digest_into(self, digest: "_Hash") -> None:
        """Add every column by its name; a single one goes without, as before there were several."""
        for name, column in self.columns.items():
            if len(self.columns) > 1:
                digest.update(f"{name!r}\n".encode())
            column.digest_into(digest)

    def _inputs(self, signature: Signature) -> Iterator[tuple[str, Column, Tensor]]:
        tensors = {tensor.name: tensor for tensor in signature.inputs}
        for name, column in self.columns.items():
            if name not in tensors:
                raise ValueError(f"there is no input '{name[:60]}': the model takes {', '.join(tensors)[:400]}")
            yield name, column, tensors[name]


class RawLabels(Sequence[Any]):
    """One label a sample, as it was given: a number, a text, or an array; a task's `label` reads each."""

    def __init__(self, column: Column) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> "RawLabels": ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                raise ValueError("labels are cut without a step")
            return RawLabels(self.column.rows(start, stop))
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        row = self.column.row(place % len(self))
        if self.column.lengths is not None and row.ndim == 1:
            return row.view(ListedRow)
        return row if row.ndim else row.item()


@dataclass(frozen=True, eq=False)
class Split:
    """Samples with their labels, or None without labels."""

    x: Samples
    y: RawLabels | None

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int) -> "Split":
        """The first `count` samples; all if `count` is 0 or there are fewer."""
        return Split(self.x.first(count), None if self.y is None else self.y[:count]) if count else self

    def labels(self) -> RawLabels:
        """The labels; raises DataError if there are none."""
        if self.y is None:
            raise DataError("this needs labels, and the data file has none: add y_*")
        return self.y

    def digest_into(self, digest: "_Hash") -> None:
        """Add samples and labels."""
        self.x.digest_into(digest)
        if self.y is not None:
            self.y.column.digest_into(digest)

    @property
    def arrays(self) -> "ArraySplit":
        """As one array of samples and one of classes.

        Raises:
            DataError: there are several inputs, samples of several shapes, or labels that are no whole numbers.
        """
        [first, *others] = self.x.columns.values()
        if others or not first.is_dense:
            what = "several inputs" if others else "samples of several shapes"
            raise DataError(f"the data file has {what}: this takes one array of samples")
        if self.y is None:
            return ArraySplit(first.values, None)
        values = self.y.column.values
        if not (self.y.column.is_dense and values.ndim == 1 and values.dtype.kind in "iu"):
            raise DataError("this takes a class as the label of each sample, a whole number: correct y_*")
        return ArraySplit(first.values, values.astype(np.int64, copy=False))


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """Samples uint8 or float32 [N, *shape] of one input with their classes int64 [N], or None without labels."""

    x: SampleArray
    y: Classes | None

    def first(self, count: int) -> "ArraySplit":
        """The first `count` samples; all if `count` is 0 or there are fewer."""
        return ArraySplit(self.x[:count], None if self.y is None else self.y[:count]) if count else self

    def labels(self) -> Classes:
        """The labels; raises DataError if there are none."""
        if self.y is None:
            raise DataError("this needs labels, and the data file has none: add y_*")
        return self.y


def _asked(x: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    return x[np.newaxis] if tensor.batched else x
