"""Arrays of an npz, a header or some rows at a time; nothing in it is ever unpickled."""

import math
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgefleet_compression.errors import DataError

BLOCK_BYTES = 4 * 2**20
MAPPED_BYTES = 256 * 2**20
"""What is larger is kept in a file without a name, and mapped."""
UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a broken archive raises."""


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What an array is, before it is read; `by_column` says that its first axis runs fastest."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_column: bool = False

    @property
    def size_bytes(self) -> int:
        """How large the array is in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


class Npz:
    """The arrays of an open archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        self.names = tuple(self._members)

    def header(self, name: str) -> ArrayHeader:
        """What an array is.

        Raises:
            DataError: it is no plain array, or shorter than it says.
        """
        with _told(), self._archive.open(self._members[name]) as file:
            return self._header(file, name)

    def read(self, name: str, keep: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """An array, or those of its rows that are to be kept; only these and a block are ever in memory.

        Args:
            name: the array's.
            keep: for each row, whether it is wanted; None takes all.

        Raises:
            DataError: it cannot be read, or it is large and there is no room for it on the disk.
        """
        header = self.header(name)
        if header.by_column or not header.shape or not header.size_bytes:
            with _told(), self._archive.open(self._members[name]) as file:
                whole: NDArray[Any] = npy.read_array(file, allow_pickle=False)
            return whole if keep is None else whole[keep]
        shape = header.shape if keep is None else (int(keep.sum()), *header.shape[1:])
        blocks = self._blocks(name, header, keep)
        if math.prod(shape) * header.dtype.itemsize > MAPPED_BYTES:
            return _mapped(blocks, header.dtype, shape)
        found, begin = np.empty(shape, header.dtype), 0
        for block in blocks:
            found[begin : begin + len(block)] = block
            begin += len(block)
        return found

    def _header(self, file: IO[bytes], name: str) -> ArrayHeader:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_column, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"'{name[:60]}' holds objects")
        if any(size < 0 for size in shape):
            raise ValueError(f"'{name[:60]}' has the shape {list(shape)}: a size is 0 or more")
        header = ArrayHeader(tuple(map(int, shape)), dtype, by_column and len(shape) > 1)
        held_bytes = self._members[name].file_size - file.tell()
        if held_bytes < header.size_bytes:
            raise ValueError(f"'{name[:60]}' is {header} and holds {held_bytes} bytes of {header.size_bytes}")
        return header

    def _blocks(self, name: str, header: ArrayHeader, keep: NDArray[np.bool_] | None) -> Iterator[NDArray[Any]]:
        row_bytes = header.size_bytes // header.shape[0]
        rows = max(BLOCK_BYTES // row_bytes, 1)
        with _told(), self._archive.open(self._members[name]) as file:
            self._header(file, name)
            for start in range(0, header.shape[0], rows):
                count = min(rows, header.shape[0] - start)
                data = file.read(count * row_bytes)
                if len(data) < count * row_bytes:
                    raise EOFError(f"'{name[:60]}' ends early")
                block = np.frombuffer(data, header.dtype).reshape(count, *header.shape[1:])
                yield block if keep is None else block[keep[start : start + count]]


@contextmanager
def opened(path: Path) -> Iterator[Npz]:
    """The arrays of an npz, as long as it is open.

    Raises:
        DataError: it is no npz.
    """
    with _told():
        archive = zipfile.ZipFile(path)
    with archive:
        yield Npz(archive)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"the data file is not an npz of plain arrays ({reason}): write it with numpy.savez_compressed"
        ) from None


def _mapped(blocks: Iterator[NDArray[Any]], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array that the system may drop from memory and read again; it is gone when nothing refers to it."""
    try:
        with tempfile.TemporaryFile() as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block).data)
            file.flush()
            return np.asarray(np.memmap(file, dtype, "c", shape=shape))
    except OSError as error:
        size_mb = math.prod(shape) * dtype.itemsize / 2**20
        place = tempfile.gettempdir()
        raise DataError(
            f"{size_mb:.0f} MB of the data file cannot be kept in {place} ({error.strerror}): make room, or set TMPDIR"
        ) from error
