"""Reads TOML of any origin: what is no TOML, or too long or too deep to work with, is one kind of error."""

import tomllib
from typing import Any

from edgefleet_profiles.errors import NotToml

MAX_DEPTH = 32
"""How many tables and lists may lie in one another, the outermost included."""
INT_LIMIT = 2**63
"""TOML promises integers of 64 bits; Python would read longer ones, and fail to write them in a message."""
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"
_TOO_LONG = "a number in it has more than 64 bits"


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a TOML text.

    Raises:
        NotToml: it is no TOML, nested more than `MAX_DEPTH` deep, or has an integer of more than 64 bits.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotToml(str(error)) from None
    except RecursionError:
        raise NotToml(_TOO_DEEP) from None
    except ValueError:  # of int(), which reads no more than 4,300 digits
        raise NotToml(_TOO_LONG) from None
    _check_values(table)
    return table


def _check_values(table: dict[str, Any]) -> None:
    # Level by level: dotted keys nest without recursion in the parser, to a depth at which recursion here would fail.
    level: list[Any] = [table]
    for _ in range(MAX_DEPTH):
        inner = [child for each in level for child in (each.values() if isinstance(each, dict) else each)]
        if any(isinstance(child, int) and not -INT_LIMIT <= child < INT_LIMIT for child in inner):
            raise NotToml(_TOO_LONG)
        level = [child for child in inner if isinstance(child, dict | list)]
        if not level:
            return
    raise NotToml(_TOO_DEEP)
