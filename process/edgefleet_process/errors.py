"""What can go wrong when a process starts.

ProcessError
├── StateInUse        another process uses the state folder
├── StateNotWritable  the state folder cannot be written
├── NoSuchFailpoint   a test names a failpoint that this process does not have
├── TooLarge          a file has more bytes than it may have
└── UnusableLogin     a file with a password or with certificates cannot be used
"""


class ProcessError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class StateInUse(ProcessError):  # noqa: N818 - named for what happened
    """Another process uses this state folder."""


class StateNotWritable(ProcessError):  # noqa: N818
    """The state folder cannot be written."""


class TooLarge(ProcessError):  # noqa: N818
    """A file has more bytes than it may have."""


class NoSuchFailpoint(ProcessError):  # noqa: N818
    """This process has no failpoint of that name."""


class UnusableLogin(ProcessError):  # noqa: N818
    """A file with a password or with certificates cannot be used."""
