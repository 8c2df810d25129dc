"""What the controller refuses, and why.

ControllerError
├── NotFound       no such model, variant, profile, device, segment, rollout or operation
├── Refused        well-formed, but not possible as things stand (a conflict)
├── Invalid        the request itself is wrong
├── StateInUse     another controller owns the state folder
└── StateUnusable  the state folder cannot be opened just now: a full disk, or another program
"""

from collections.abc import Mapping, Sequence
from typing import Any

from edgefleet_profiles.names import NAME_PATTERN


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


def first_fault(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first of pydantic's errors in one line: where, and what is wrong there."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"there is no {where}: remove it or correct its spelling"
    if first["type"] == "string_pattern_mismatch" and first["ctx"]["pattern"] == NAME_PATTERN:
        given = str(first["input"])[:100]
        return f"{where}: '{given}' is no name: small letters, digits, '-' and '_', at most 64"
    return f"{where}: {first['msg']}"
