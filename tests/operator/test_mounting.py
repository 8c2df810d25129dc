"""Commands of other packages are mounted; one that is broken says so and harms no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.parting import mostly_slow

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
        ("heavy", "'a_library_that_nobody_has', which greeting 1.0 imports, is not installed"),
        ("careless", "AttributeError: module 'greeting' has no attribute 'nobody'"),
    ],
)
def test_a_command_that_cannot_be_loaded_says_whose_it_is_and_why(command: str, reason: str) -> None:
    refused = types(command, "--any", "option")
    assert refused.returncode == 1
    assert refused.stderr == f"edgefleet: '{command}' of greeting 1.0 cannot be loaded: {reason}\n"


ODD = """
import functools

class Stopped(BaseException): pass

class Called:
    def __call__(self): print("called")

called, part = Called(), functools.partial(print, "called")
def untyped(what: "Nowhere"): pass
def taken(): print("taken over")
def __getattr__(name):
    if name == "leave": raise SystemExit(0)
    if name == "stop": raise Stopped("not here")
    raise AttributeError(name)
"""


def install(site: Path, name: str, entries: bytes, metadata: bool = True) -> None:
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_bytes(b"[edgefleet.commands]\n" + entries)
    if metadata:
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a module of what may be wrong, which has no entry points yet."""
    (tmp_path / "oddity.py").write_text(ODD)
    return tmp_path


ODD_ONES = [
    ("leave", "SystemExit: 0"),
    ("stop", "Stopped: not here"),
    ("called", "oddity:called is neither a function nor a typer.Typer"),
    ("part", "oddity:part is neither a function nor a typer.Typer"),
    ("untyped", "NameError: name 'Nowhere' is not defined"),
]


@pytest.mark.parametrize(("what", "reason"), mostly_slow(ODD_ONES, one_in=3))
def test_whatever_loading_a_command_does_the_others_work(what: str, reason: str, site: Path) -> None:
    install(site, "odd", f"odd = oddity:{what}\n".encode())
    paths = f"{site}{os.pathsep}{THIRD_PARTY}"
    refused = types("odd", PYTHONPATH=paths)
    assert (refused.returncode, refused.stderr) == (1, f"edgefleet: 'odd' of odd 1.0 cannot be loaded: {reason}\n")
    assert types("greet", "nora", PYTHONPATH=paths).stdout == "hello nora\n"


def test_packages_whose_metadata_is_damaged_or_missing_take_no_command_away(site: Path) -> None:
    install(site, "bare", b"bare = oddity:taken\nbroken = oddity:nothing\n", metadata=False)
    install(site, "latin", b"\xff = oddity:taken\n")
    paths = f"{site}{os.pathsep}{THIRD_PARTY}"
    greeted = types("greet", "nora", PYTHONPATH=paths)
    assert greeted.stdout == "hello nora\n"
    assert greeted.stderr.startswith("edgefleet: the entry points of latin cannot be read (UnicodeDecodeError")
    assert types("bare", PYTHONPATH=paths).stdout == "taken over\n"
    assert "'broken' of oddity:nothing unknown cannot be loaded" in types("broken", PYTHONPATH=paths).stderr


def test_a_command_of_ours_is_not_replaced_and_its_help_names_what_is_ignored(site: Path) -> None:
    install(site, "aaa", b"serve = oddity:taken\nrecipe = oddity:taken\ngreet = oddity:taken\nrollout = oddity:taken\n")
    paths = f"{site}{os.pathsep}{THIRD_PARTY}"
    for command in ("serve", "recipe"):
        shown = types(command, "--help", PYTHONPATH=paths)
        assert f"The '{command}' of aaa 1.0 is ignored: its name is taken." in shown.stdout
    assert "--listen" in types("serve", "--help", PYTHONPATH=paths).stdout
    assert "taken over" not in types("rollout", PYTHONPATH=paths).stdout
    assert types("greet", PYTHONPATH=paths).stdout == "taken over\n"
    assert "The 'greet' of greeting 1.0 is ignored" in types("greet", "--help", PYTHONPATH=paths).stdout


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
