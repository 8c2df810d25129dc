"""What can go wrong with a task; malformed answers are the protocol's errors.

TaskError
└── UnknownTask     there is no task of this name
"""


class TaskError(ValueError):
    """Root of this package's errors."""


class UnknownTask(TaskError):  # noqa: N818 - reads as the statement it makes
    """There is no task of this name."""
