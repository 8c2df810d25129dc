"""What the controller refuses, and why.

ControllerError
├── NotFound              no such model, variant, profile, device, segment, rollout or operation
├── Refused               well-formed, but not possible as things stand (a conflict)
├── Invalid               the request itself is wrong
├── NotBuilt              an operation ran, and nothing could be built
├── StateUnusable         the state folder cannot be opened just now: a full disk, or another program
└── StoreError            the store did not do what it was asked, and kept nothing of it
    ├── StoreUnavailable  it cannot just now; it says what to do
    │   ├── DiskFull
    │   ├── ReadOnly
    │   ├── Taken         by another program
    │   └── TooManyFiles  are open
    └── StoreFault        a damaged file, or a fault of ours
"""

from typing import ClassVar


class ControllerError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class NotFound(ControllerError):  # noqa: N818 - reads as the statement it makes
    """No such thing."""


class Refused(ControllerError):  # noqa: N818
    """Well-formed, but not possible as things stand."""


class Invalid(ControllerError):  # noqa: N818
    """The request itself is wrong."""


class NotBuilt(ControllerError):  # noqa: N818
    """An operation ran, and nothing could be built."""


class StateUnusable(ControllerError):  # noqa: N818
    """The state folder cannot be opened just now."""


class StoreError(ControllerError):
    """The store did not do what it was asked, and kept nothing of it."""


class StoreFault(StoreError):  # noqa: N818
    """A damaged file or a fault of ours: to ask again changes nothing."""


class StoreUnavailable(StoreError):  # noqa: N818
    """The store cannot be read or written just now; the message says what to do.

    Args:
        said: what the system or the database said.
    """

    what_to_do: ClassVar[str]

    def __init__(self, said: object) -> None:
        super().__init__(f"{self.what_to_do} ({said})")


class DiskFull(StoreUnavailable):
    """The disk takes no more."""

    what_to_do = "the disk of the state folder takes no more, it is full or failing: make room there"


class ReadOnly(StoreUnavailable):
    """The state folder cannot be written."""

    what_to_do = "the state folder cannot be written: mount its disk for writing, or see who owns it"


class Taken(StoreUnavailable):
    """Another program holds the store."""

    what_to_do = "another program holds the store: end it, if it is a backup or a database shell"


class TooManyFiles(StoreUnavailable):
    """This process may open no more files."""

    what_to_do = "too many files are open: raise the limit of open files"
