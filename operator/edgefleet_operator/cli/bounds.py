"""Parses the bounds of a search."""

import math
from collections.abc import Sequence

import typer
from pydantic import ValidationError

from edgefleet_contract.builds import NewConstraints
from edgefleet_contract.faults import first_fault


def bounds_from(given: Sequence[str]) -> NewConstraints:
    """Parse bounds written as `NAME=NUMBER`.

    Raises:
        typer.BadParameter: a bound is unknown, or its number is wrong.
    """
    known = list(NewConstraints.model_fields)
    found: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in known:
            raise typer.BadParameter(f"there is no bound '{name}': use one of {', '.join(known)}")
        if name in found:
            raise typer.BadParameter(f"--constraint gives {name} twice: give it once")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = math.nan
        if not 0 <= found[name] < math.inf:
            raise typer.BadParameter(f"'{text}' is not a bound: write {name}=NUMBER, 0 or more")
    try:
        return NewConstraints.model_validate(found)
    except ValidationError as error:
        raise typer.BadParameter(first_fault(error.errors())) from None
