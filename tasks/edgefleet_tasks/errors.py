"""What can go wrong with a task; malformed answers are the protocol's errors.

TaskError               a ValueError: what was given is not what a task takes
├── UnknownTask         there is no task of this name, or the plug-in that brings it cannot be used
├── AnswerNotFinite     an answer has NaN or infinity
├── NotScored           there is nothing that this could be scored by
└── PluginFails         a task of a plug-in does what no task may do
"""


class TaskError(ValueError):
    """Root of this package's errors."""


class UnknownTask(TaskError):  # noqa: N818 - reads as the statement it makes
    """There is no task of this name."""


class AnswerNotFinite(TaskError):  # noqa: N818
    """An answer has NaN or infinity."""


class NotScored(TaskError):  # noqa: N818
    """There is nothing that this could be scored by."""


class PluginFails(TaskError):  # noqa: N818
    """A task of a plug-in does what no task may do."""
