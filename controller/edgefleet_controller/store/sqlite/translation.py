"""SQLite's errors as ours: the one place that knows both."""

import sqlite3

from edgefleet_controller.errors import DiskFull, ReadOnly, StoreError, StoreFault, StoreUnavailable, Taken

_UNAVAILABLE: dict[int, type[StoreUnavailable]] = {
    sqlite3.SQLITE_FULL: DiskFull,
    sqlite3.SQLITE_IOERR: DiskFull,
    sqlite3.SQLITE_CANTOPEN: DiskFull,
    sqlite3.SQLITE_READONLY: ReadOnly,
    sqlite3.SQLITE_BUSY: Taken,
    sqlite3.SQLITE_LOCKED: Taken,
}
_PRIMARY = 0xFF  # what is above it in an SQLite code says where it happened


def translated(error: sqlite3.Error) -> StoreError:
    """The error of ours that says the same."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
    if isinstance(error, sqlite3.OperationalError) and (kind := _UNAVAILABLE.get(code)):
        return kind(error)
    return StoreFault(f"{type(error).__name__}: {error}")
