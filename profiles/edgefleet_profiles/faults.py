"""What pydantic finds wrong with a value, in words for people. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from edgefleet_profiles.names import NAME_PATTERN

LONGEST = 60
"""Characters of a wrong value that are shown."""
_OURS = ("value_error", "assertion_error")
_WORDS = (
    (r"\b(?:Value error|Assertion failed), ", ""),
    (r"\b(?:Input|String|List|Tuple|Set|Dictionary|Value|Data|Bytes|URL|Path) should ", "must "),
    (r", unable to (?:parse|interpret) .*", ""),
    (r", got a number with a fractional part", ""),
    (r"a valid integer", "a whole number"),
    (r"a valid (?:number|decimal)", "a number"),
    (r"a valid string", "text"),
    (r"a valid boolean", "true or false"),
    (r"a valid (?:dictionary|mapping)(?: or (?:object|instance).*)?", "a table of names and values"),
    (r"a valid (?:list|tuple|set|array)", "a list"),
    (r"greater than or equal to", "at least"),
    (r"less than or equal to", "at most"),
    (r"greater than", "above"),
    (r"less than", "below"),
    (r" after validation", ""),
    (r"item\(s\)", "items"),
)


def place_of(problem: Mapping[str, Any]) -> str:
    """Where the value is, as `gate.soak_s`; empty if it is the whole."""
    return ".".join(str(part) for part in problem["loc"] if part != "[key]")


def words_of(problem: Mapping[str, Any]) -> str:
    """What is wrong with the value, without where it is.

    Args:
        problem: one of pydantic's errors, other than an unknown key: `spelling.nearest_field` is for that.
    """
    kind, said = problem["type"], str(problem["msg"])
    if kind in _OURS:
        return said.partition(", ")[2]  # the rule's own words
    if kind == "missing":
        return "missing: add it"
    given = _shown(problem.get("input"))
    if kind == "string_pattern_mismatch" and problem["ctx"]["pattern"] == NAME_PATTERN:
        return f"{given} is not a name: use lower-case letters, digits, '-' and '_', at most 64"
    said = plain(said)
    return f"{said}, not {given}" if given and ", not " not in said else said


def plain(said: str) -> str:
    """What pydantic says, in plain words; other texts stay as they are."""
    for pattern, word in _WORDS:
        said = re.sub(pattern, word, said)
    return said


def _shown(value: Any) -> str:
    """A single value as it was given; of lists and tables only what they are."""
    if isinstance(value, str):
        return f"'{value[:LONGEST]}'"
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    if isinstance(value, int | float):
        return str(value)
    return "a table" if isinstance(value, Mapping) else "a list" if isinstance(value, list | tuple) else ""
