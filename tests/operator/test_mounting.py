"""Commands of other packages are mounted; one that is broken says so and harms no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

THIRD_PARTY = Path(__file__).parent / "third_party"


def types(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What is answered where the third party's package is installed."""
    told = {**os.environ, "PYTHONPATH": str(THIRD_PARTY), "COLUMNS": "200", **environment}
    command = [sys.executable, "-m", "edgefleet_operator", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=told)


def test_a_function_is_a_command_and_an_app_a_group() -> None:
    assert types("greet", "nora").stdout == "hello nora\n"
    assert types("greetings", "wave").stdout == "waves\n"


def test_what_a_mounted_command_refuses_is_told_on_one_line() -> None:
    refused = types("greet", "nora", "--sternly")
    assert (refused.returncode, refused.stderr) == (1, "edgefleet: nora is not greeted\n")
    misused = types("greet")
    assert (misused.returncode, misused.stderr.count("\n")) == (2, 1)
    assert misused.stderr.endswith("see edgefleet greet --help\n")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("fragile", "RuntimeError: out of glue"),
        ("heavy", "'a_library_that_nobody_has' is not installed: pip install greeting"),
        ("careless", "AttributeError: module 'greeting' has no attribute 'nobody'"),
    ],
)
def test_a_command_that_cannot_be_loaded_says_whose_it_is_and_why(command: str, reason: str) -> None:
    refused = types(command, "--any", "option")
    assert refused.returncode == 1
    assert refused.stderr == f"edgefleet: '{command}' of greeting 1.0 cannot be loaded: {reason}\n"


def test_all_are_listed_beside_our_own_and_none_takes_the_place_of_one() -> None:
    listed = types("--help").stdout
    for command in ("rollout", "serve", "recipe", "greet", "greetings", "fragile"):
        assert f" {command} " in listed
    assert "add " in types("device", "--help").stdout


def test_a_word_nearly_right_is_met_with_the_right_one_mounted_or_not() -> None:
    assert "Did you mean 'serve'?" in types("serv").stderr
    assert "Did you mean 'greetings', 'greet'?" in types("greeting").stderr


def test_the_shell_completes_our_commands_and_mounted_ones() -> None:
    asked = {"_EDGEFLEET_COMPLETE": "complete_bash", "COMP_WORDS": "edgefleet re", "COMP_CWORD": "1"}
    assert types(**asked).stdout.split() == ["recipe"]
    asked = {"_EDGEFLEET_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "edgefleet rollout pa"}
    assert "pause" in types(**asked).stdout
    shown = types("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout
    assert "_EDGEFLEET_COMPLETE=complete_bash" in shown


def test_the_version_is_told() -> None:
    told = types("--version")
    assert told.returncode == 0
    assert told.stdout.startswith("edgefleet ")
