"""The suite notices a process that a test leaves behind, names it and ends it."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.orphans import none_left

SLEEPER = "import time; print('there', flush=True); time.sleep(600)"


def sleeper(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SLEEPER, str(folder / "broker.conf")]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert started.stdout and started.stdout.readline() == "there\n"
    return started


def test_what_a_test_leaves_behind_is_named_and_ended(tmp_path: Path) -> None:
    tests = none_left(tmp_path)
    next(tests)
    with sleeper(tmp_path) as orphan:
        with pytest.raises(AssertionError, match=f"left processes behind:\n.*{tmp_path}/broker.conf"):
            next(tests)
        assert not psutil.pid_exists(orphan.pid)


def test_who_ends_what_they_started_is_not_accused_and_others_processes_live(tmp_path: Path) -> None:
    tests = none_left(tmp_path / "mine")
    next(tests)
    with sleeper(tmp_path / "mine") as own, sleeper(tmp_path / "mine-too") as anothers:
        own.kill()
        with pytest.raises(StopIteration):
            next(tests)
        assert anothers.poll() is None
        anothers.kill()
