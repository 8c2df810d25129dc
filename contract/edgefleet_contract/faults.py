"""One-line messages for pydantic's validation errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from edgefleet_profiles.names import NAME_PATTERN
from edgefleet_profiles.spelling import nearest_field


def first_fault(errors: Sequence[Mapping[str, Any]], within: str = "", *, of: type[BaseModel] | None = None) -> str:
    """The first of pydantic's errors in one line: the field, and what is wrong with it.

    Args:
        errors: pydantic's errors; at least one.
        within: the field that holds the validated value, if it is part of something.
        of: what was validated, to name the nearest right field; None if unknown.
    """
    first = errors[0]
    where = ".".join(str(part) for part in ([within] if within else []) + list(first["loc"]))
    if first["type"] == "extra_forbidden":
        loc = [part for part in first["loc"] if part != "body"]
        return f"unknown field {where}: {nearest_field(of, loc) if of else 'remove it or correct its spelling'}"
    if first["type"] == "string_pattern_mismatch" and first["ctx"]["pattern"] == NAME_PATTERN:
        given = str(first["input"])[:100]
        return f"{where}: '{given}' is not a name: use lower-case letters, digits, '-' and '_', at most 64"
    return f"{where}: {first['msg']}"
