"""Why the controller cannot write its state just now: what the store raised, or the disk itself did."""

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
    """Why the controller cannot write its state just now, and what to do; None for an error of another kind."""
    if isinstance(error, StoreUnavailable):
        return str(error)
    if isinstance(error, OSError) and (kind := _BY_SYSTEM.get(error.errno or 0)):
        return str(kind(error.strerror))
    return None


def log_failure(log: logging.Logger, error: Exception, what: str) -> None:
    """Write down that something failed: a disk's fault in one line, one of ours with its traceback."""
    if why := why_unavailable(error):
        log.error("%s: %s", what, why, stacklevel=2)
    else:
        log.error("%s", what, exc_info=error, stacklevel=2)
