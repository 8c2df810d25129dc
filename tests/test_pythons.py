"""The Pythons that are claimed are those that the suite is run on, and the scripts find them."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CLAIMED = [
    named[1]
    for classifier in PYPROJECT["project"]["classifiers"]
    if (named := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier))
]


def test_the_oldest_that_is_claimed_is_what_an_install_asks_for_and_the_tools_check() -> None:
    oldest = CLAIMED[0]
    assert sorted(CLAIMED, key=lambda version: int(version[2:])) == CLAIMED
    assert PYPROJECT["project"]["requires-python"] == f">={oldest}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"


def test_the_readme_names_what_is_claimed_and_no_other() -> None:
    told = re.findall(r"tested\s+on\s+(3\.[\d., and]+\d)", (ROOT / "README.md").read_text())
    assert [re.findall(r"3\.\d+", each) for each in told] == [CLAIMED]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A project that claims three Pythons, on a machine where pyenv has the last, twice, and shims of all."""
    (tmp_path / "pyproject.toml").write_text(
        "".join(f'    "Programming Language :: Python :: {version}",\n' for version in ("3.75", "3.76", "3.77"))
    )
    for version in ("3.75", "3.76", "3.77"):
        program(tmp_path / "bin" / f"python{version}", "exit 127")
    for patch in ("3.77.2", "3.77.10"):
        program(tmp_path / "pyenv" / "versions" / patch / "bin" / "python", "echo 3.77")
    return tmp_path


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def ask(machine: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """What a function of scripts/_pythons says on that machine."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f'. "{ROOT}/scripts/_pythons"; "$@"', "bash", *words],
        cwd=machine,
        env={**os.environ, "PATH": f"{machine}/bin:/usr/bin:/bin", "PYENV_ROOT": f"{machine}/pyenv"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_python_that_does_not_start_is_none_and_of_pyenvs_the_newest_is_taken(machine: Path) -> None:
    assert ask(machine, "python_of", "3.77").stdout == f"{machine}/pyenv/versions/3.77.10/bin/python\n"
    missing = ask(machine, "python_of", "3.76")
    assert (missing.returncode, missing.stdout) == (1, "")


def test_one_on_path_is_taken_first(machine: Path) -> None:
    program(machine / "bin" / "python3.77", "echo 3.77")
    assert ask(machine, "python_of", "3.77").stdout == f"{machine}/bin/python3.77\n"


def test_what_is_not_found_is_told(machine: Path) -> None:
    told = ask(machine, "tell_pythons").stderr.splitlines()
    assert [line.split(": ")[0] for line in told] == ["Python 3.75", "Python 3.76", "Python 3.77"]
    assert ["not found" in line for line in told] == [True, True, False]


def test_the_newest_other_one_is_the_newest_that_starts_and_is_not_ours(machine: Path) -> None:
    program(machine / "bin" / "python3.75", "echo 3.75")
    assert ask(machine, "newest_python_but", "3.75").stdout == "3.77\n"
    assert ask(machine, "newest_python_but", "3.77").stdout == "3.75\n"


def test_without_another_one_there_is_no_newest(machine: Path) -> None:
    alone = ask(machine, "newest_python_but", "3.77")
    assert (alone.returncode, alone.stdout) == (1, "")


def test_a_version_that_is_nowhere_is_refused_with_those_that_are_tested() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "test", "--python", "3.1"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "no Python 3.1 here" in done.stderr
    assert all(f"Python {version}:" in done.stderr for version in CLAIMED)
