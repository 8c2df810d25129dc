"""Locks between processes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgefleet_process.errors import StateInUse, StateNotWritable
from edgefleet_process.locks import FileLock, make_folder, own_folder

HOLD = (
    "import sys, time; from pathlib import Path; from edgefleet_process.locks import own_folder\n"
    "own_folder(Path(sys.argv[1]), 'agent'); print('held', flush=True); time.sleep(60)"
)


def test_a_folder_has_one_owner_until_that_one_dies(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout and first.stdout.readline() == "held\n"
        with pytest.raises(StateInUse, match=f"another agent uses {tmp_path}: stop it"):
            own_folder(tmp_path, "agent")
        first.send_signal(signal.SIGKILL)
    own_folder(tmp_path, "agent").close()


def test_a_folder_that_cannot_be_locked_is_told_from_one_that_is_in_use(tmp_path: Path) -> None:
    with pytest.raises(StateNotWritable, match="cannot be locked"):
        own_folder(tmp_path / "missing", "agent")


def test_a_state_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "inside", Path("/dev/null")):
        with pytest.raises(StateNotWritable, match="is not a folder: give another --state"):
            make_folder(path)
    with pytest.raises(StateNotWritable, match="cannot be created"):
        make_folder(Path("/proc/nothing"))


def test_a_lock_is_free_again_when_its_holder_lets_go(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as second:
        with FileLock(tmp_path / "lock") as first:
            assert first.try_take()
            assert not second.try_take()
        assert second.try_take()


def test_a_child_that_inherits_the_descriptor_holds_the_lock_after_us(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as ours:
        assert ours.try_take()
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(ours.descriptor,))
    with FileLock(tmp_path / "lock") as other:
        assert not other.try_take()
        child.communicate(b"\n")
        assert other.try_take()
