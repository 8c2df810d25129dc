"""Both processes speak readable lines or JSON lines, and end within two seconds of SIGTERM."""

import json
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.fleet


def end(process: "subprocess.Popen[str]") -> tuple[str, float]:
    """What a process said on stderr, and how long it took to end."""
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    return said, time.monotonic() - started


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)


def start(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", *words]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_controllers_log(tmp_path: Path, form: str) -> None:
    process = start("edgefleet_operator", "serve", "--state", str(tmp_path), "--log-format", form)
    wait_for(tmp_path / "controller.json", process)
    said, seconds = end(process)
    assert seconds < 8
    lines = [json.loads(line)["message"] if form == "json" else line for line in said.splitlines()]
    assert any("the API answers on" in line for line in lines), said
    assert ("torch is not installed" in said) == (find_spec("torch") is None)


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_agents_log(tmp_path: Path, form: str) -> None:
    settings = tmp_path / "agent.toml"
    settings.write_text(
        f'state = "{tmp_path}/state"\ndevice = "d"\nbroker = "mqtt://127.0.0.1:1"\nregion = "eu"\nlink = "lte"\n'
        f'simulate_hardware = "rpi4"\nlog_format = "{form}"\nheartbeat_s = 1\nhttp = "127.0.0.1:0"\n'
    )
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.json").write_text("rubbish")
    process = start("edgefleet_agent", "run", "--config", str(settings))
    wait_for(tmp_path / "state" / "endpoint", process)
    said, seconds = end(process)
    assert seconds < 8
    line = said.splitlines()[0]
    if form == "json":
        told = json.loads(line)
        assert (told["device"], told["level"]) == ("d", "error")
    else:
        assert " d ERROR " in line


ENDED_AT = {
    "the conductor starts": "start = Conductor.start; Conductor.start = lambda *a, **k: (start(*a, **k), end())",
    "it announces itself": "serve.announce = lambda *_: end()",
}


@pytest.mark.parametrize("at", ENDED_AT)
def test_a_controller_that_is_told_to_end_just_before_it_serves_stops_all_of_it(tmp_path: Path, at: str) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from edgefleet_controller import serve; from edgefleet_controller.service import Service\n"
        "from edgefleet_controller.rollouts.conductor import Conductor\n"
        "from edgefleet_controller.settings import ControllerSettings\n"
        "end = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"{ENDED_AT[at]}\n"
        "stop = Service.stop; Service.stop = lambda self: (stop(self), print('stopped'))\n"
        "serve.serve(ControllerSettings(state=Path(sys.argv[1])))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr
    assert "Traceback" not in ended.stderr
