"""What the controller refuses, and why.

ControllerError
├── NotFound       no such model, variant, profile, device, segment, rollout or operation
├── Refused        well-formed, but not possible as things stand (a conflict)
├── Invalid        the request itself is wrong
├── StateInUse     another controller owns the state folder
└── StateUnusable  the state folder cannot be opened just now: a full disk, or another program
"""


class ControllerError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class NotFound(ControllerError):  # noqa: N818 - reads as the statement it makes
    """No such thing."""


class Refused(ControllerError):  # noqa: N818
    """Well-formed, but not possible as things stand."""


class Invalid(ControllerError):  # noqa: N818
    """The request itself is wrong."""


class StateInUse(ControllerError):  # noqa: N818
    """Another controller owns the state folder."""


class StateUnusable(ControllerError):  # noqa: N818
    """The state folder cannot be opened just now."""
