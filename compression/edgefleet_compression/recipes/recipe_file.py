"""A recipe in a file: read and checked; an error names the line and the step."""

import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgefleet_compression.errors import RecipeError
from edgefleet_compression.recipes.recipe import KnownStep, Recipe, new_recipe, recipe_from, shipped_recipes
from edgefleet_compression.search_roles import StepSpec
from edgefleet_process.errors import TooLarge
from edgefleet_process.reading import read_at_most
from edgefleet_profiles.errors import NotToml
from edgefleet_profiles.faults import words_of
from edgefleet_profiles.spelling import nearest
from edgefleet_profiles.toml import parse_toml

MOST_BYTES = 2**20
FIELDS = ("name", "title", "steps")
STEP_FIELDS = ("step", "config")
_TABLE = re.compile(r"^\s*\[\[\s*steps\s*\]\]")
_STEP = re.compile(r"(?:^|[\s{,])step\s*=")
_KNOWN_STEP: TypeAdapter[StepSpec] = TypeAdapter(KnownStep)
_SETTING = re.compile(r"setting '([^']+)'")


def find_recipe(given: str) -> Recipe:
    """A shipped recipe by its name, or the recipe in a file.

    Raises:
        RecipeError: there is no such name or file, or the file is wrong; with the nearest name, or the line.
    """
    shipped = shipped_recipes()
    if given in shipped:
        return shipped[given]
    path = Path(given)
    if path.suffix == ".toml" or path.is_file():
        return read_recipe(path)
    raise RecipeError(f"there is no recipe '{given}': {nearest(given, shipped)}; a file's name ends in .toml")


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file.

    Raises:
        RecipeError: it cannot be read, or is wrong; with the line, the step, and the nearest known name.
    """
    text = _read(path)
    try:
        table = parse_toml(text)
    except NotToml as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from None
    _check_names(path, text, table)
    steps = table.get("steps")
    if isinstance(steps, list):
        for index, step in enumerate(steps):
            _check_step(path, text, steps, index, step)
    try:
        return new_recipe(table)
    except RecipeError as error:
        place = _where_the_order_breaks(table, str(error))
        at = "" if place is None else _at(text, steps, place)
        raise RecipeError(f"{path}{at}: {_reason(error)}") from None


def _read(path: Path) -> str:
    try:
        data = read_at_most(MOST_BYTES, path)
        return data.decode("utf-8")
    except TooLarge:
        raise RecipeError(f"{path} has more than {MOST_BYTES:,} bytes: a recipe is a small TOML file") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read ({error.strerror}): give a recipe's TOML file") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path} is not a text file: give a recipe's TOML file") from None


def _check_names(path: Path, text: str, table: dict[str, Any]) -> None:
    for name in table:
        if name not in FIELDS:
            line = _line_of(text.splitlines(), rf"^\s*(?:\[+\s*)?{re.escape(name)}\b")
            raise RecipeError(f"{path}{_said(line)}: there is no '{name}' in a recipe: {nearest(name, FIELDS)}")


def _check_step(path: Path, text: str, steps: list[Any], index: int, step: Any) -> None:
    """Check one step by itself; the order of all is checked later."""
    if not isinstance(step, dict) or "step" not in step:
        raise RecipeError(f'{path}{_at(text, steps, index)}: the name of the step is missing: write step = "NAME"')
    for name in step:
        if name not in STEP_FIELDS:
            near = f": {nearest(name, STEP_FIELDS)}; settings go into config"
            raise RecipeError(f"{path}{_at(text, steps, index, name)}: there is no '{name}' in a step{near}")
    try:
        _KNOWN_STEP.validate_python(step)
    except ValidationError as error:
        reason = words_of(error.errors()[0])
        setting = _SETTING.search(reason)
        at = _at(text, steps, index, setting[1].partition(".")[0] if setting else None)
        raise RecipeError(f"{path}{at}: {reason}") from None


def _where_the_order_breaks(table: dict[str, Any], said: str) -> int | None:
    """The index of the step for which a recipe is refused: the first one with which the message is the same."""
    steps = table.get("steps")
    if not isinstance(steps, list) or not said.startswith("recipe '"):
        return None
    for count in range(1, len(steps) + 1):
        try:
            recipe_from({**table, "steps": steps[:count]})
        except RecipeError as error:
            if str(error) == said and f"'{steps[count - 1]['step']}'" in said:
                return count - 1
    return None


def _reason(error: RecipeError) -> str:
    """What is wrong, without the recipe's name: the file's name stands there already."""
    return re.sub(r"^recipe '[^']*'(?:, |: )", "", str(error))


def _at(text: str, steps: Any, index: int, setting: str | None = None) -> str:
    """`, line 7 (step 2, 'distill')`; the line of the setting, if it is found."""
    lines = text.splitlines()
    line = _line_of_step(lines, len(steps), index)
    if line is not None and setting is not None:
        after = _line_of_step(lines, len(steps), index + 1) or len(lines) + 1
        found = _line_of(lines[line - 1 : after - 1], rf"(?:^|[\s{{,]){re.escape(setting)}\s*=")
        line = line if found is None else line + found - 1
    name = steps[index].get("step") if isinstance(steps[index], dict) else None
    return f"{_said(line)} (step {index + 1}{f', {name!r}' if isinstance(name, str) else ''})"


def _line_of_step(lines: list[str], count: int, index: int) -> int | None:
    """The line on which a step begins, counted from 1; None if the text does not tell."""
    for pattern in (_TABLE, _STEP):
        found = [number for number, line in enumerate(lines, start=1) if pattern.search(line)]
        if len(found) == count:
            return found[index] if index < count else None
    return None


def _line_of(lines: list[str], pattern: str) -> int | None:
    return next((number for number, line in enumerate(lines, start=1) if re.search(pattern, line)), None)


def _said(line: int | None) -> str:
    return "" if line is None else f", line {line}"
