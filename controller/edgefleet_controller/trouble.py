"""Why the controller cannot write its state now, told from an error of the store or of the system."""

import errno
import logging

from edgefleet_controller.errors import DiskFull, ReadOnly, StoreUnavailable, TooManyFiles

_BY_SYSTEM: dict[int, type[StoreUnavailable]] = {
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: DiskFull,
    errno.EIO: DiskFull,
    errno.EROFS: ReadOnly,
    errno.EACCES: ReadOnly,
    errno.EMFILE: TooManyFiles,
    errno.ENFILE: TooManyFiles,
}


def why_unavailable(error: BaseException) -> str | None:
    """Why the controller cannot write its state now, and what to do; None for other kinds of errors."""
    if isinstance(error, StoreUnavailable):
        return str(error)
    if isinstance(error, OSError) and (kind := _BY_SYSTEM.get(error.errno or 0)):
        return str(kind(error.strerror))
    return None


def log_failure(log: logging.Logger, error: Exception, what: str) -> None:
    """Log a failure: a disk problem in one line, anything else with its traceback."""
    if why := why_unavailable(error):
        log.error("%s: %s", what, why, stacklevel=2)
    else:
        log.error("%s", what, exc_info=error, stacklevel=2)
