"""Keeps one column of a split on disk while it is packed, and writes it into an npz: only its shapes are in memory."""

import tempfile
import zipfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError
from edgefleet_compression.models.splits.places import LENGTHS, SHAPES, VALUES

IN_MEMORY_BYTES = 256 * 1024
"""What a column keeps in memory before it takes a file: a table may have hundreds of columns."""
COPIED_BYTES = 2**20
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can tell: the same samples make the same bytes."""


class ColumnSpool:
    """The arrays of one input, or of the labels, sample by sample."""

    def __init__(self, name: str, folder: Path) -> None:
        """Begin a column.

        Args:
            name: what it is called in the npz.
            folder: where there is room.
        """
        self.name = name
        self._file = cast(IO[bytes], tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(folder)))  # noqa: SIM115
        self._dtype: np.dtype[Any] | None = None
        self._rank = 0
        self._shapes = array("q")
        self._count = 0
        self._width = 1
        self._size_bytes = 0

    def __len__(self) -> int:
        return self._count

    def add(self, values: NDArray[Any], origin: str) -> None:
        """Add one sample.

        Args:
            values: of the same type and rank as those before; a text is an array without axes.
            origin: what it was read from, for people.

        Raises:
            DataError: it is of another type or rank, or holds objects.
        """
        is_text = values.dtype.kind == "U"
        dtype = np.dtype("U1") if is_text else values.dtype
        if dtype.hasobject or (is_text and values.ndim > 1):
            raise DataError(f"{self.name} of {origin} is {dtype} {list(values.shape)}: give numbers, or one text")
        if self._dtype is None:
            self._dtype, self._rank = dtype, values.ndim
        elif (dtype, values.ndim) != (self._dtype, self._rank):
            before = f"{self._dtype} with {self._rank} axes"
            raise DataError(
                f"{self.name} of {origin} is {dtype} with {values.ndim} axes, and before it was {before}: "
                "give all samples alike"
            )
        if is_text:
            width = max(values.dtype.itemsize // 4, 1)
            self._width = max(self._width, width)
            self._shapes.append(width)
            values = values.astype(f"U{width}")
        self._shapes.extend(values.shape)
        self._file.write(np.ascontiguousarray(values).data if values.size else b"")
        self._count += 1
        self._size_bytes += values.nbytes

    @property
    def sample_shape(self) -> tuple[int | None, ...]:
        """The shape of a sample; None for a size that not all have."""
        sizes = self._sizes
        return tuple(int(sizes[0, axis]) if (sizes[:, axis] == sizes[0, axis]).all() else None for axis in _axes(sizes))

    @property
    def type_name(self) -> str:
        """The type of the numbers, or `text`."""
        assert self._dtype is not None
        return "text" if self._dtype.kind == "U" else self._dtype.name

    def write(self, archive: zipfile.ZipFile, on_written: Callable[[int], None] = lambda size_bytes: None) -> None:
        """Write it: as one array, or as values with lengths, or with shapes, where samples are unequal.

        Args:
            archive: the npz.
            on_written: called with the bytes of each block, before they are compressed.
        """
        writer = _MemberWriter(archive, on_written)
        assert self._dtype is not None  # no split is empty
        sizes, shape = self._sizes, self.sample_shape
        self._file.seek(0)
        if self._dtype.kind == "U":
            writer.write(self.name, np.dtype(f"U{self._width}"), (self._count, *shape), self._texts())
        elif None not in shape:
            writer.write(self.name, self._dtype, (self._count, *shape), self._blocks())
        else:
            by_length = None not in shape[1:]
            total = int(sizes[:, 0].sum()) if by_length else int(sizes.prod(axis=1).sum())
            whole = (total, *shape[1:]) if by_length else (total,)
            writer.write(f"{self.name}/{VALUES}", self._dtype, whole, self._blocks())
            piece, told = (LENGTHS, sizes[:, 0]) if by_length else (SHAPES, sizes)
            told = np.ascontiguousarray(told)
            writer.write(f"{self.name}/{piece}", told.dtype, told.shape, [told.tobytes()])

    @property
    def size_bytes(self) -> int:
        """The bytes of all samples as they are kept."""
        return self._size_bytes

    def close(self) -> None:
        """Give up the file."""
        self._file.close()

    @property
    def _sizes(self) -> NDArray[np.int64]:
        told = self._rank + (self._dtype is not None and self._dtype.kind == "U")
        return np.array(self._shapes, np.int64).reshape(self._count, told)[:, told - self._rank :]

    def _blocks(self) -> Iterator[bytes]:
        while block := self._file.read(COPIED_BYTES):
            yield block

    def _texts(self) -> Iterator[bytes]:
        """Texts at the width of the widest."""
        told = np.array(self._shapes, np.int64).reshape(self._count, 1 + self._rank)
        for width, *shape in told.tolist():
            each = int(np.prod(shape, dtype=np.int64))
            yield np.frombuffer(self._file.read(4 * width * each), f"U{width}").astype(f"U{self._width}").tobytes()


@dataclass(frozen=True)
class _MemberWriter:
    """Writes arrays into an npz, block by block."""

    archive: zipfile.ZipFile
    on_written: Callable[[int], None]

    def write(self, name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...], blocks: Iterable[bytes]) -> None:
        entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        with self.archive.open(entry, "w", force_zip64=True) as member:
            npy.write_array_header_1_0(cast(Any, member), header)
            for block in blocks:
                member.write(block)
                self.on_written(len(block))


def _axes(sizes: NDArray[np.int64]) -> range:
    return range(sizes.shape[1])
