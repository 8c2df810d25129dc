"""However a start fails, no broker is left that nobody looks after; one that devices have already runs on."""

import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest
from tests.parting import mostly_slow

from edgefleet_controller.failpoints import ControllerFailpoint
from edgefleet_controller.serve import Start
from edgefleet_process.children import run_module

pytestmark = pytest.mark.broker

STARTING: tuple[ControllerFailpoint, ...] = ("broker_begun", "broker_taken", "parts_started")
"""Where the controller is killed while it starts."""
LONG_S = 90


def brokers(state: Path) -> list[int]:
    """The brokers of a state folder, by process id."""
    known = [p for p in psutil.process_iter(["name", "cmdline"]) if p.info["name"] == "nats-server"]
    return [process.pid for process in known if str(state) in " ".join(process.info["cmdline"] or ())]


def soon(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def serve(state: Path, *words: str, before: str = "", **environment: str) -> subprocess.Popen[str]:
    command = run_module("edgefleet_operator", "serve", "--state", str(state), *words)
    shell = ["sh", "-c", f'{before} exec "$0" "$@"', *command]
    env = {**os.environ, **environment}
    return subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def runs(state: Path) -> subprocess.Popen[str]:
    (state / "controller.json").unlink(missing_ok=True)
    running = serve(state)
    soon((state / "controller.json").exists, "it did not start")
    return running


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    folder.mkdir()
    yield folder
    for pid in brokers(folder):
        os.kill(pid, signal.SIGKILL)


def taken(state: Path, resources: ExitStack) -> int:
    other = resources.enter_context(socket.socket())
    other.bind(("127.0.0.1", 0))
    other.listen()
    return int(other.getsockname()[1])


def api_port(state: Path, resources: ExitStack) -> list[str]:
    return ["--port", str(taken(state, resources))]


def kept_api_port(state: Path, resources: ExitStack) -> list[str]:
    (state / "api.port").write_text(str(taken(state, resources)))
    return []


def kept_broker_port(state: Path, resources: ExitStack) -> list[str]:
    (state / "broker").mkdir()
    (state / "broker" / "port.json").write_text(f'{{"mqtt": {taken(state, resources)}}}')
    return []


def broker_port(state: Path, resources: ExitStack) -> list[str]:
    return ["--broker-port", str(taken(state, resources))]


def damaged(name: str) -> Callable[[Path, ExitStack], list[str]]:
    def damage(state: Path, _: ExitStack) -> list[str]:
        (state / name).write_bytes(b"no file of ours " * 1000)
        return []

    return damage


def locked(state: Path, resources: ExitStack) -> list[str]:
    held = resources.enter_context(closing(sqlite3.connect(state / "fleet.db")))
    held.execute("BEGIN EXCLUSIVE")
    return []


FAILS: dict[str, tuple[Callable[[Path, ExitStack], list[str]], str]] = {
    "the API's port is taken": (api_port, "give another --port"),
    "the kept port of the API is taken": (kept_api_port, "api.port to choose a new one"),
    "the kept port of the broker is taken": (kept_broker_port, "port.json to choose a new one"),
    "the given port of the broker is taken": (broker_port, "give another --broker-port"),
    "the store is damaged": (damaged("fleet.db"), "fleet.db"),
    "the telemetry is damaged": (damaged("telemetry.db"), "telemetry.db"),
    "the store is locked": (locked, "another program holds the store"),
    "the credentials are damaged": (damaged("credentials.json"), "credentials.json cannot be read"),
    "the catalogue is missing": (lambda *_: ["--profiles", "/nowhere"], "/nowhere is not a folder"),
    "the CA is missing": (
        lambda *_: ["--broker", "mqtts://127.0.0.1:9", "--broker-ca-file", "/nowhere.pem"],
        "/nowhere.pem",
    ),
    "the settings cannot be obeyed": (lambda *_: ["--allow-host", "a b"], "allow_hosts cannot hold 'a b'"),
}


@pytest.mark.parametrize("name", FAILS)
def test_a_start_that_is_refused_says_why_and_leaves_no_broker(state: Path, name: str) -> None:
    prepare, told = FAILS[name]
    with ExitStack() as resources:
        words = prepare(state, resources)
        kept = {
            path: path.read_bytes() for path in (state / "api.port", state / "broker" / "port.json") if path.exists()
        }
        done = serve(state, *words)
        said = done.communicate(timeout=LONG_S)[1]
    lines = [line for line in said.splitlines() if " INFO " not in line]
    assert done.returncode == 1 and len(lines) == 1 and told in lines[0], said
    assert brokers(state) == []
    assert {path: path.read_bytes() for path in kept} == kept, "a kept port is kept"


def test_without_room_on_the_disk_no_broker_is_left(state: Path) -> None:
    done = serve(state, before="ulimit -f 40;")
    said = done.communicate(timeout=LONG_S)[1]
    assert done.returncode == 1 and "Traceback" not in said, said
    assert brokers(state) == []


WRITTEN = ["controller.lock", "fleet.db", "broker/nats.conf", "broker/broker.pid"]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at", mostly_slow(WRITTEN, one_in=3))
def test_a_start_that_is_interrupted_leaves_no_broker(state: Path, at: str, sent: signal.Signals) -> None:
    starting = serve(state)
    soon((state / at).exists, f"no {at}")
    starting.send_signal(sent)
    said = starting.communicate(timeout=LONG_S)[1]
    assert starting.returncode in (0, 130) and "Traceback" not in said, said
    assert brokers(state) == []


def test_a_signal_whose_exception_a_finalizer_swallows_ends_the_start_later(monkeypatch: pytest.MonkeyPatch) -> None:
    class Last:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    lost: list[BaseException | None] = []
    monkeypatch.setattr("sys.unraisablehook", lambda told: lost.append(told.exc_value))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        start = Start()
        start.end_if_interrupted()
        Last()
        assert [type(one) for one in lost] == [SystemExit]
        with pytest.raises(SystemExit):
            start.end_if_interrupted()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("point", mostly_slow(STARTING, one_in=3))
def test_a_start_that_is_killed_leaves_no_broker_and_the_next_one_works(state: Path, point: str) -> None:
    killed = serve(state, EDGEFLEET_FAILPOINT=point)
    killed.communicate(timeout=LONG_S)
    assert killed.returncode == -signal.SIGKILL
    soon(lambda: brokers(state) == [], "its broker lives on")
    port = (state / "broker" / "port.json").read_text()
    running = runs(state)
    assert len(brokers(state)) == 1
    assert (state / "broker" / "port.json").read_text() == port
    running.terminate()
    running.communicate(timeout=LONG_S)
    assert running.returncode == 0 and brokers(state) == []


def test_a_second_controller_on_one_folder_is_refused_and_the_first_keeps_its_broker(state: Path) -> None:
    first = runs(state)
    broker = brokers(state)
    second = serve(state)
    assert "another controller uses" in second.communicate(timeout=LONG_S)[1] and second.returncode == 1
    assert brokers(state) == broker and first.poll() is None
    first.terminate()
    first.communicate(timeout=LONG_S)
    assert brokers(state) == []


def test_the_broker_of_a_killed_controller_outlives_failed_starts_and_is_adopted_by_the_next(state: Path) -> None:
    first = runs(state)
    (broker,) = brokers(state)
    first.kill()
    first.communicate()
    with ExitStack() as resources:
        failed = serve(state, *api_port(state, resources))
        failed.communicate(timeout=LONG_S)
    assert failed.returncode == 1 and brokers(state) == [broker]
    interrupted = serve(state, EDGEFLEET_FAILPOINT="broker_taken")
    interrupted.communicate(timeout=LONG_S)
    assert brokers(state) == [broker]
    last = runs(state)
    assert brokers(state) == [broker]
    last.terminate()
    last.communicate(timeout=LONG_S)
    assert last.returncode == 0 and brokers(state) == []
