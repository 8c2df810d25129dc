"""What the disk or another program keeps the store from doing, in words that say what to do."""

import errno
import logging
import sqlite3

_FULL = "the disk of the state folder takes no more, it is full or failing: make room there"
_READ_ONLY = "the state folder cannot be written: mount its disk for writing, or see who owns it"
_TAKEN = "another program holds the store: end it, if it is a backup or a database shell"
_OPEN_FILES = "too many files are open: raise the limit of open files"

_BY_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _FULL,
    sqlite3.SQLITE_CANTOPEN: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_BUSY: _TAKEN,
    sqlite3.SQLITE_LOCKED: _TAKEN,
}
_BY_SYSTEM = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EIO: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EMFILE: _OPEN_FILES,
    errno.ENFILE: _OPEN_FILES,
}
_PRIMARY = 0xFF  # what is above it in an SQLite code says where it happened


def why_unavailable(error: BaseException) -> str | None:
    """Why the controller cannot write its state just now, and what to do; None for an error of another kind."""
    if isinstance(error, sqlite3.OperationalError):
        why = _BY_SQLITE.get(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY)
    elif isinstance(error, OSError):
        why = _BY_SYSTEM.get(error.errno or 0)
    else:
        return None
    said = error.strerror if isinstance(error, OSError) else error
    return f"{why} ({said})" if why else None


def log_failure(log: logging.Logger, error: Exception, what: str) -> None:
    """Write down that something failed: a disk's fault in one line, one of ours with its traceback."""
    if why := why_unavailable(error):
        log.error("%s: %s", what, why, stacklevel=2)
    else:
        log.error("%s", what, exc_info=error, stacklevel=2)
