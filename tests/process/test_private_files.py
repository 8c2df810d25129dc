"""Nobody else on the machine reads what the processes keep, whatever the umask of the shell that started them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

CONTROLLER = ("edgefleet_operator", "serve", "--make-credentials")
AGENT = ("edgefleet_agent", "run", "--device", "d", "--broker", "mqtt://127.0.0.1:1", "--region", "eu", "--link", "lte")


@pytest.mark.parametrize(
    ("command", "last"), [(CONTROLLER, "controller.json"), ((*AGENT, "--http", "127.0.0.1:0"), "endpoint")]
)
def test_files_are_private(tmp_path: Path, command: tuple[str, ...], last: str) -> None:
    state = tmp_path / "state"
    module, verb, *rest = command
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", module, verb, "--state", str(state), *rest],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        umask=0,
    )
    try:
        end_s = time.monotonic() + 60
        while not (state / last).exists():
            assert child.poll() is None and time.monotonic() < end_s
            time.sleep(0.05)
        found = [state, *state.rglob("*")]
        open_to_others = {str(path): oct(path.stat().st_mode) for path in found if path.stat().st_mode & 0o077}
    finally:
        child.terminate()
        child.wait(30)
    assert open_to_others == {}
    assert len(found) > 3
