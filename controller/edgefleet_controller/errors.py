"""Errors of the controller.

ControllerError
├── NotFound              no such model, variant, profile, device, segment, rollout or operation
├── Refused               well-formed, but not possible in the current state (a conflict)
├── Invalid               the request itself is wrong
├── NotBuilt              an operation ran, and nothing could be built
├── StateUnusable         the state folder cannot be opened now: the disk is full, or another program uses it
└── StoreError            the store failed, and nothing was written
    ├── StoreUnavailable  it cannot be read or written now; the message says what to do
    │   ├── DiskFull
    │   ├── ReadOnly
    │   ├── Taken         another program holds it
    │   └── TooManyFiles  the process has too many open files
    ├── StoreFault        a damaged file, or a bug
    └── NewerStore        a newer version wrote the file
"""

from typing import ClassVar


class ControllerError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class NotFound(ControllerError):  # noqa: N818 - reads as the statement it makes
    """It doesn't exist."""


class Refused(ControllerError):  # noqa: N818
    """Well-formed, but not possible in the current state."""


class Invalid(ControllerError):  # noqa: N818
    """The request itself is wrong."""


class NotBuilt(ControllerError):  # noqa: N818
    """An operation ran, and nothing could be built."""


class StateUnusable(ControllerError):  # noqa: N818
    """The state folder cannot be opened now."""


class StoreError(ControllerError):
    """The store failed, and nothing was written."""


class StoreFault(StoreError):  # noqa: N818
    """A damaged file or a bug: retrying does not help."""


class NewerStore(StoreError):  # noqa: N818
    """A newer version wrote the file: this one would misread it."""


class StoreUnavailable(StoreError):  # noqa: N818
    """The store cannot be read or written now; the message says what to do.

    Args:
        said: the error of the system or the database.
    """

    what_to_do: ClassVar[str]

    def __init__(self, said: object) -> None:
        super().__init__(f"{self.what_to_do} ({said})")


class DiskFull(StoreUnavailable):
    """The disk is full or failing."""

    what_to_do = "the disk of the state folder is full or failing: make room there"


class ReadOnly(StoreUnavailable):
    """The state folder cannot be written."""

    what_to_do = "the state folder cannot be written: check its owner, and that its disk is mounted for writing"


class Taken(StoreUnavailable):
    """Another program holds the store."""

    what_to_do = "another program holds the store: stop it if it is a backup or a database shell"


class TooManyFiles(StoreUnavailable):
    """This process has too many open files."""

    what_to_do = "too many files are open: raise the limit on open files"
