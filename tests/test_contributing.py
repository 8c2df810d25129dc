"""What CONTRIBUTING.md tells people to run and where it tells them to look exists."""

import importlib.util
import re
import shlex
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

from edgefleet_operator.cli import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SPANS = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", PAGE)
COMMANDS = sorted({line.partition("#")[0].strip() for block in BLOCK for line in block.splitlines()})
IN_VENV = ".venv/bin/"


def brought_by_dev() -> set[str]:
    """The programs of what `[dev]` names; where it was not installed since it was named, one called as it is."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {canonicalize_name(Requirement(line).name) for line in extras["dev"]}
    scripts = entry_points(group="console_scripts")
    return named | {script.name for script in scripts if script.dist and canonicalize_name(script.dist.name) in named}


def test_the_page_shows_commands() -> None:
    assert {"scripts/check", "scripts/test", ".venv/bin/pre-commit install"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_set_up_is_there(command: str) -> None:
    program = shlex.split(command)[0]
    if program.startswith(IN_VENV):
        assert program.removeprefix(IN_VENV) in brought_by_dev(), f"{program} comes with nothing in [dev]"
    else:
        assert program.startswith("scripts/") and (ROOT / program).stat().st_mode & 0o111


def test_other_commands_are_there() -> None:
    modules = {module for span in SPANS for module in re.findall(r"^python -m (\S+)", span)}
    verbs = [span.split()[1:] for span in SPANS if span.startswith("edgefleet ")]
    assert modules and verbs
    assert all(importlib.util.find_spec(module) for module in modules)
    for words in verbs:
        command = get_command(app)
        for word in words:
            command = command.commands[word]


def test_every_place_is_there() -> None:
    tops = {path.name for path in ROOT.iterdir() if path.is_dir()}
    places = {span for span in SPANS if re.fullmatch(r"[\w.]+(/[\w.-]+)+/?", span) and span.split("/")[0] in tops}
    assert len(places) > 10
    assert [place for place in sorted(places) if not (ROOT / place.replace("NAME", "export")).exists()] == []
