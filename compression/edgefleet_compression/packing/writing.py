"""Writes a packed file, which appears whole or not at all."""

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgefleet_compression.errors import DataError
from edgefleet_compression.packing.spooling import ColumnSpool
from edgefleet_contract.uploads import MAX_FILE_BYTES
from edgefleet_process.durable import replace_file, sync

SUFFIX, CLASSES_SUFFIX = ".npz", ".txt"


def check_place(out: Path, force: bool) -> None:
    """Check that the file may be written where it is to be, and the names of its classes beside it.

    Raises:
        DataError: it may not.
    """
    if out.suffix.lower() != SUFFIX:
        raise DataError(f"'{out.name}' must end in {SUFFIX}: give another name with --out")
    if not out.parent.is_dir():
        raise DataError(f"the folder {out.parent} does not exist: make it, or give another place with --out")
    for path in (out, classes_file(out)):
        if path.exists() and not force:
            raise DataError(f"{path} is there already: --force replaces it, --out names another file")


def classes_file(out: Path) -> Path:
    """Where the names of classes are written, one a line, as `model add --labels` takes them."""
    return out.with_suffix(CLASSES_SUFFIX)


def write_classes(out: Path, classes: Sequence[str]) -> Path | None:
    """Write the names of classes beside a file, and return where; None if there are none."""
    if not classes:
        return None
    replace_file(classes_file(out), "".join(f"{name}\n" for name in classes).encode())
    return classes_file(out)


def write_columns(out: Path, columns: Sequence[ColumnSpool], on_written: Callable[[int, int], None]) -> None:
    """Write an npz.

    Args:
        out: where.
        columns: what is in it.
        on_written: called with the bytes that were written, before they were compressed, and with those of all.

    Raises:
        DataError: no controller would take so large a file.
        OSError: there is no room, or the place cannot be written.
    """
    total, written = sum(column.size_bytes for column in columns), 0

    def on_block(size_bytes: int) -> None:
        nonlocal written
        written += size_bytes
        on_written(min(written, total), total)

    with _new_file(out) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for column in columns:
                column.write(archive, on_block)
        if (size := temporary.stat().st_size) > MAX_FILE_BYTES:
            raise DataError(
                f"the file would have {size:,} bytes, and a controller takes {MAX_FILE_BYTES:,}: "
                "give fewer or smaller samples"
            )


@contextmanager
def _new_file(out: Path) -> Iterator[Path]:
    """A file that takes its name once it is whole and on disk, and leaves nothing behind otherwise."""
    descriptor, name = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
    temporary = Path(name)
    try:
        os.fchmod(descriptor, 0o666 & ~_umask())
        os.close(descriptor)
        yield temporary
        sync(temporary)
        temporary.replace(out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(out.parent)


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now
