"""Reads the tables of a page, and says how a field's default is written there."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

DOCS = Path(__file__).parents[1] / "docs"
Row = dict[str, str]


def section(page: str, heading: str) -> str:
    """What is under a heading, up to the next one."""
    begins = f"\n{heading}\n"
    assert page.count(begins) == 1, heading
    return re.split(r"^#+ ", page.partition(begins)[2], maxsplit=1, flags=re.MULTILINE)[0]


def table(page: str, heading: str, first: str) -> list[Row]:
    """The rows of the table under a heading whose first column has this title; cells without backquotes."""
    rows: list[Row] = []
    columns: list[str] = []
    for line in section(page, heading).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and cells[0] == first:
            columns = cells
        elif columns and not cells:
            break
        elif columns and not set("".join(cells)) <= set("-"):
            rows.append(
                dict(zip(columns, (cell.strip("`") if cell.count("`") == 2 else cell for cell in cells), strict=True))
            )
    assert rows, f"no table under {heading}"
    return rows


def default_of(field: FieldInfo) -> str:
    """How a page writes the default of a field."""
    if field.is_required():
        return "required"
    value: Any = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    assert value is not PydanticUndefined
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, dict | list | tuple | set | frozenset) and not value:
        return "empty"
    if value == 1 / 255:
        return "1/255"
    return json.dumps(value)


def defaults_of(model: type[BaseModel]) -> dict[str, str]:
    """Every field of a model with its default, as a page writes it."""
    return {name: default_of(field) for name, field in model.model_fields.items()}
