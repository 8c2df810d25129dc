"""docs/cli.md says what the command line does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from typer import Context
from typer.main import get_command

from edgefleet_contract.rollouts import Gate, Timers
from edgefleet_contract.telemetry import GroupBy
from edgefleet_operator.cli import app
from edgefleet_operator.cli.ending import OK, REFUSED, ROLLOUT_FAILED, TIMED_OUT, USAGE

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
SECTIONS = dict(re.findall(r"^### `edgefleet ([a-z -]+[a-z])[^`]*`\n(.*?)(?=^##|\Z)", PAGE, flags=re.M | re.S))


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


ROOT = get_command(app)
ROOT.list_commands(Context(ROOT))  # mounts those of other packages
COMMANDS = dict(commands(ROOT))


def options(command: Any) -> set[str]:
    return {name for p in command.params for name in (*p.opts, *p.secondary_opts) if name.startswith("--")}


def test_every_command_has_a_section_and_no_other() -> None:
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_its_commands_section_and_no_other(name: str) -> None:
    written = set(re.findall(r"`(--[a-z][a-z-]*)", SECTIONS[name])) - {"--help"}
    assert written == options(COMMANDS[name]) - {"--help"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_option_and_argument_has_help(name: str) -> None:
    assert COMMANDS[name].help
    assert [p.name for p in COMMANDS[name].params if not p.help] == []


def test_the_options_of_the_command_itself_are_on_the_page() -> None:
    assert [name for name in options(ROOT) - {"--help"} if f"`{name}" not in PAGE and f" {name}`" not in PAGE] == []


def test_every_exit_code_is_in_the_table() -> None:
    assert set(re.findall(r"^\| (\d) \|", PAGE, flags=re.M)) == {
        str(code) for code in (OK, REFUSED, USAGE, ROLLOUT_FAILED, TIMED_OUT)
    }


def test_every_key_of_gate_timers_and_telemetry_is_in_its_section() -> None:
    for section, keys in (
        ("rollout start", {*Gate.model_fields, *Timers.model_fields}),
        ("telemetry", {*get_args(GroupBy)}),
    ):
        assert [key for key in keys if f"`{key}`" not in SECTIONS[section]] == []
