"""Translates SQLite's errors into ours."""

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
_PRIMARY = 0xFF  # the higher bits of an extended result code add detail


def translated(error: sqlite3.Error) -> StoreError:
    """Our error for an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
    if isinstance(error, sqlite3.OperationalError) and (kind := _UNAVAILABLE.get(code)):
        return kind(error)
    return StoreFault(f"{type(error).__name__}: {error}")
