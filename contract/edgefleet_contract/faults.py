"""One-line messages for pydantic's validation errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from edgefleet_profiles.faults import place_of, words_of
from edgefleet_profiles.spelling import nearest_field


def first_fault(errors: Sequence[Mapping[str, Any]], within: str = "", *, of: type[BaseModel] | None = None) -> str:
    """The first of pydantic's errors in one line: the field, and what is wrong with it.

    Args:
        errors: pydantic's errors; at least one.
        within: the field that holds the validated value, if it is part of something.
        of: what was validated, to name the nearest right field; None if unknown.
    """
    first = errors[0]
    where = ".".join(filter(None, (within, place_of(first))))
    if first["type"] == "extra_forbidden":
        loc = [part for part in first["loc"] if part != "body"]
        return f"unknown field {where}: {nearest_field(of, loc) if of else 'remove it or correct its spelling'}"
    return f"{where}: {words_of(first)}" if where else words_of(first)
