"""Without Mosquitto `scripts/test` says which tests it skips and how to install it; with CI=true they fail."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEST = "tests/controller/test_bus.py::test_every_kind_of_message_from_devices_arrives"


def scripts_test(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command of `scripts/test`, for one test on both brokers, on a machine without Mosquitto."""
    (last,) = re.findall(r"^exec python (.*) \"\$@\"$", (ROOT / "scripts" / "test").read_text(), re.MULTILINE)
    command = [sys.executable, *shlex.split(last), "-n", "1", "-p", "no:cacheprovider"]  # more would find nothing to do
    command += ["--basetemp", str(folder / "tmp"), TEST]
    empty = folder / "bin"
    empty.mkdir()
    bare = {
        "PATH": str(empty),
        "EDGEFLEET_X_TESTS_DAEMONS": str(empty),
        "HOME": os.environ.get("HOME", "/"),
        **environment,
    }
    return subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, check=False, timeout=120)


def test_without_mosquitto_each_test_that_is_skipped_is_named_with_what_to_install(tmp_path: Path) -> None:
    done = scripts_test(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert f"{TEST}[mosquitto]" in line
    assert "apt install mosquitto" in line


def test_with_ci_a_missing_mosquitto_is_a_failure(tmp_path: Path) -> None:
    done = scripts_test(tmp_path, CI="true")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 passed, 1 error" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ERROR ")]
    assert f"{TEST}[mosquitto]" in line
    assert "apt install mosquitto" in done.stdout
