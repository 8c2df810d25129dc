"""What pydantic finds wrong, in one line for whoever asked."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgefleet_profiles.names import NAME_PATTERN


def first_fault(errors: Sequence[Mapping[str, Any]], within: str = "") -> str:
    """The first of pydantic's errors in one line: where, and what is wrong there.

    Args:
        errors: at least one.
        within: the field that holds what was looked at, if it is a part of something.
    """
    first = errors[0]
    where = ".".join(str(part) for part in ([within] if within else []) + list(first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"there is no {where}: remove it or correct its spelling"
    if first["type"] == "string_pattern_mismatch" and first["ctx"]["pattern"] == NAME_PATTERN:
        given = str(first["input"])[:100]
        return f"{where}: '{given}' is no name: small letters, digits, '-' and '_', at most 64"
    return f"{where}: {first['msg']}"
