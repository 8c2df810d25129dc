"""A device joins over an address that others can reach, leaves, and outlives a restored controller."""

import json
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.fleet.conftest import Fleet, Process
from tests.plain import PlainClient

from edgefleet_operator.errors import ApiError

pytestmark = pytest.mark.fleet

LAB = "eu/x86-avx2/ethernet"


def wait(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)
    return found


class Guarded:
    """A controller on every address of this machine, with the credentials that it printed."""

    def __init__(self, folder: Path) -> None:
        self.state, self._log = folder / "controller", folder / "controller.log"
        self.process = Process(
            self._log,
            *("edgefleet_operator", "serve", "--state", str(self.state), "--listen", "0.0.0.0"),
            *("--make-credentials", "--tick", "0.1", "--hello-jitter", "0.1"),
        )
        self.process.start()
        where = wait(self._where, "the controller")
        self.token = self._printed("API token")
        self.password = self._printed("broker password")
        self.url = where["api"]
        self.api = PlainClient(self.url, self.token)
        self.api.wait_until_up(10)

    def _where(self) -> Any:
        file = self.state / "controller.json"
        return json.loads(file.read_text()) if file.exists() else None

    def _printed(self, what: str) -> str:
        found = re.search(rf"^{what}.*: +(\S+)$", self.process.log(), re.MULTILINE)
        assert found, self.process.log()
        return found[1]

    def device(self, device: str) -> Any:
        try:
            return self.api.get(f"/devices/{device}")
        except ApiError as error:
            assert error.status == 404
            return None


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    running = Guarded(tmp_path)
    yield running
    running.process.stop()
    running.api.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Process]]:
    """Runs the line that was printed for a device, in a folder with its password file."""
    agents: list[Process] = []
    monkeypatch.chdir(tmp_path)

    def start(line: str) -> Process:
        words = shlex.split(line)
        assert words.pop(0) == "edgefleet-agent"
        log = tmp_path / f"agent-{len(agents)}.log"
        agents.append(Process(log, "edgefleet_agent", *words, "--http", "127.0.0.1:0", "--heartbeat", "1"))
        agents[-1].start()
        return agents[-1]

    yield start
    for agent in agents:
        agent.stop()


def test_a_device_joins_by_the_line_that_adding_it_printed_and_leaves(guarded: Guarded, run, tmp_path: Path) -> None:
    added = guarded.api.post("/devices", {"profile": LAB})
    # The name of this machine may not resolve to an address of its own everywhere.
    agent = run(re.sub(r"mqtt://[^:]+:", "mqtt://127.0.0.1:", added["command"]))
    wait(lambda: "edgefleet.password" in agent.log(), "the agent to miss its password")
    (tmp_path / "edgefleet.password").write_text(guarded.password)
    device = wait(lambda: guarded.device(added["id"]), f"the device to report: {agent.log()}")
    assert (device["status"], device["added_as"]) == ("accepted", LAB)
    guarded.api.delete(f"/devices/{added['id']}")
    again = wait(lambda: guarded.device(added["id"]), "the device to report again")
    assert again["status"] == "pending"
    assert guarded.api.post(f"/devices/{added['id']}/accept", {})["status"] == "accepted"


def test_without_the_password_nothing_joins_and_without_the_token_nothing_answers(
    guarded: Guarded, run, tmp_path: Path
) -> None:
    added = guarded.api.post("/devices", {"profile": LAB})
    (tmp_path / "edgefleet.password").write_text("guessed")
    agent = run(re.sub(r"mqtt://[^:]+:", "mqtt://127.0.0.1:", added["command"]))
    wait(lambda: "refuses the connection" in agent.log(), "the broker's refusal")
    assert guarded.device(added["id"]) is None
    assert httpx.get(f"{guarded.url}/metrics").status_code == 401
    assert httpx.get(f"{guarded.url}/metrics", headers={"Authorization": f"Bearer {guarded.token}"}).is_success
    for file in guarded.state.rglob("*"):
        assert not file.is_file() or guarded.token.encode() not in file.read_bytes()


@pytest.mark.slow
def test_a_controller_restored_from_a_backup_goes_on_from_its_devices_generations(fleet: Fleet, tmp_path: Path) -> None:
    fleet.add_agent("kiosk", LAB)
    first = fleet.roll_out(1)
    fleet.wait(lambda: fleet.rollout(first)["state"] == "completed", "the first rollout", 60)
    fleet.controller.stop()
    shutil.copytree(fleet.state, tmp_path / "backup")
    fleet.start_controller()
    fleet.wait(lambda: (fleet.device("kiosk") or {}).get("online"), "the device to come back", 90)
    second = fleet.roll_out(2)
    fleet.wait(lambda: fleet.rollout(second)["state"] == "completed", "the second rollout", 60)
    ahead = fleet.attempt("kiosk")["generation"]
    fleet.controller.stop()
    shutil.rmtree(fleet.state)
    shutil.copytree(tmp_path / "backup", fleet.state)
    fleet.start_controller()
    fleet.wait(lambda: fleet.attempt("kiosk").get("generation") == ahead, "a snapshot that is ahead of the store", 90)
    third = fleet.roll_out(1)
    fleet.wait(lambda: fleet.rollout(third)["state"] == "completed", "the third rollout", 60)
    attempt = fleet.attempt("kiosk")
    assert (attempt["generation"], attempt["phase"]) == (ahead + 1, "committed")
