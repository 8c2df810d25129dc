"""Who a device is: two agents under one id, a device wiped or restored, a controller restored from a backup."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from tests.conftest import mosquitto, nats, running
from tests.fleet.asking import PROFILE, ask
from tests.fleet.conftest import Agent, Fleet, running_fleet
from tests.parting import mostly_slow

from edgefleet_protocol.topics import up

pytestmark = [pytest.mark.fleet, pytest.mark.broker]

IMAGE = np.zeros((28, 28))


@pytest.fixture(params=[nats, pytest.param(mosquitto, marks=pytest.mark.slow)], ids=["nats", "mosquitto"])
def shared(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on each broker that finds and forgets conflicts within eight seconds."""
    (tmp_path / "broker").mkdir()
    for broker in running(request.param(tmp_path / "broker")):
        with running_fleet(built, tmp_path, "--broker", broker.url, "--conflict-window", "8") as fleet:
            yield fleet


def completed(fleet: Fleet, rollout: str) -> dict[str, Any]:
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", f"rollout {rollout}", 60)
    return fleet.rollout(rollout)


def variant(fleet: Fleet, device: str) -> str | None:
    found = fleet.device(device)["models"].get("fashion")
    return found["answering"]["variant"] if found and found["answering"] else None


def stored(fleet: Fleet, device: str) -> dict[str, list[int]]:
    """The numbers of the windows that are stored, by incarnation."""
    found = defaultdict(list)
    with closing(sqlite3.connect(fleet.state / "telemetry.db")) as db:
        for incarnation, seq in db.execute(
            "SELECT incarnation, seq FROM windows WHERE device = ? ORDER BY 1, 2", [device]
        ):
            found[incarnation].append(seq)
    return found


def requests(fleet: Fleet, device: str) -> int:
    """How many answers the stored windows of a device tell of."""
    with closing(sqlite3.connect(fleet.state / "telemetry.db")) as db:
        return db.execute("SELECT coalesce(sum(requests), 0) FROM windows WHERE device = ?", [device]).fetchone()[0]


def incarnation(agent: Agent) -> str:
    return json.loads((agent.state / "identity.json").read_text())["incarnation"]


def asked(agent: Agent, times: int) -> None:
    endpoint = (agent.state / "endpoint").read_text()
    for _ in range(times):
        assert ask(endpoint, IMAGE)[0] == 200


class Presences:
    """Hears what a device's agents, or the broker in their stead, say of their presence."""

    def __init__(self, broker: str, device: str) -> None:
        self.said: list[dict[str, Any]] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _u, message: self.said.append(json.loads(message.payload))
        self._client.connect(urlsplit(broker).hostname, urlsplit(broker).port)
        self._client.subscribe(up(device, "presence"))
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_two_agents_with_one_id_are_told_apart_and_passed_over_until_one_is_gone(shared: Fleet, tmp_path: Path) -> None:
    first = shared.add_agent("a", PROFILE)
    shared.add_agent("b", PROFILE)
    completed(shared, shared.roll_out(1))
    presences = Presences(shared.broker, "a")
    under_way = shared.roll_out(2, timers={"trial_s": 60, "silent_s": 60}, waves=[1.0])
    shared.wait(lambda: shared.executions(under_way)["a"]["phase"] == "trial", "the trial", 60)

    (tmp_path / "elsewhere").mkdir()
    twin = Agent(tmp_path / "elsewhere", "a", PROFILE, shared.broker, shared.catalogue)
    shared.agents.append(twin)
    twin.start()
    shared.wait(lambda: (shared.device("a") or {})["conflict"], "the conflict")
    both = {incarnation(first), incarnation(twin)}
    assert {heard["incarnation"] for heard in shared.device("a")["conflict"]["incarnations"]} == both
    ended = shared.executions(under_way)["a"]
    assert ended["phase"] == "deferred"
    assert all(who in ended["detail"] for who in both)
    assert "edgefleet_device_conflicts 1.0" in metrics(shared)

    shared.api.post(f"/rollouts/{under_way}/abort", {})
    plan = shared.api.post("/rollouts/plan", {"model": "fashion", "version": 1, "everyone": True})
    planned = {e["device"]: (e["phase"], e["detail"]) for wave in plan["waves"] for e in wave}
    assert planned["a"][0] == "deferred"
    assert "two agents" in planned["a"][1]

    shared.wait(lambda: variant(shared, "a"), "an answer of either")
    before = seen(shared)
    shared.wait(lambda: all(seen(shared)[who] > before[who] for who in both), "both to be heard again")
    assert [p for p in presences.said if not p["online"]] == [], "no broker threw one of them out"
    asked(first, 3)
    shared.wait(lambda: requests(shared, "a") >= 3, "its windows")
    assert placed(shared, "a", incarnation(first))[-1] is None, "they are no profile's"

    twin.kill()
    shared.wait(lambda: not shared.device("a")["conflict"], "the conflict to be over")
    assert shared.device("a")["incarnation"] == incarnation(first)
    presences.close()
    shown = completed(shared, shared.roll_out(1))
    assert shown["counts"].keys() <= {"committed", "already_installed"}


def seen(fleet: Fleet) -> dict[str, int]:
    return {heard["incarnation"]: heard["last_seen_ms"] for heard in fleet.device("a")["conflict"]["incarnations"]}


def metrics(fleet: Fleet) -> str:
    return httpx.get(f"{fleet.api.url.removesuffix('/api/v1')}/metrics").text


def placed(fleet: Fleet, device: str, incarnation: str) -> list[str | None]:
    """The regions under which an incarnation's windows are stored, by number."""
    with closing(sqlite3.connect(fleet.state / "telemetry.db")) as db:
        sql = "SELECT region FROM windows WHERE device = ? AND incarnation = ? ORDER BY seq"
        return [region for (region,) in db.execute(sql, [device, incarnation])]


@pytest.mark.slow
def test_a_wiped_device_gets_what_it_should_run_while_a_rollout_is_under_way(fleet: Fleet) -> None:
    agent = fleet.add_agent("a", PROFILE)
    completed(fleet, fleet.roll_out(1))
    old = incarnation(agent)
    asked(agent, 3)
    fleet.wait(lambda: requests(fleet, "a") == 3, "its windows")
    before = stored(fleet, "a")
    second = fleet.roll_out(2, timers={"trial_s": 2, "silent_s": 60})
    fleet.wait(lambda: "trial" in agent.phases(2), "the trial")
    agent.kill()
    shutil.rmtree(agent.state)
    agent.start()
    assert completed(fleet, second)["counts"] == {"committed": 1}
    device = fleet.device("a")
    assert (device["incarnation"], device["conflict"]) == (incarnation(agent), None)
    assert device["incarnation"] != old
    assert device["models"]["fashion"]["generation"] == 2
    asked(agent, 2)
    fleet.wait(lambda: requests(fleet, "a") == 5, "windows of the new life")
    after = stored(fleet, "a")
    assert after[old] == before[old], "what was stored stays"
    assert after[incarnation(agent)][0] == 1


@pytest.mark.slow
def test_a_device_restored_from_an_old_image_catches_up_and_loses_no_window(fleet: Fleet, tmp_path: Path) -> None:
    agent = fleet.add_agent("a", PROFILE)
    completed(fleet, fleet.roll_out(1))
    asked(agent, 1)
    fleet.wait(lambda: requests(fleet, "a") == 1, "the first window")
    agent.stop()
    shutil.copytree(agent.state, tmp_path / "image")
    for boot in (2, 3):
        agent.start()
        fleet.wait(lambda b=boot: fleet.device("a")["boot"] == b and variant(fleet, "a"), "the agent to come back")
        asked(agent, 2)
        agent.stop()
    agent.start()
    completed(fleet, fleet.roll_out(2))
    fleet.wait(lambda: requests(fleet, "a") == 5 and not fleet.device("a")["spooled_windows"], "every window so far")
    newer, old = variant(fleet, "a"), incarnation(agent)
    agent.stop()
    shutil.rmtree(agent.state)
    shutil.copytree(tmp_path / "image", agent.state)
    agent.start()
    fleet.wait(lambda: incarnation(agent) != old, "a new incarnation")
    fleet.wait(lambda: fleet.device("a")["incarnation"] == incarnation(agent), "its report")
    fleet.wait(lambda: variant(fleet, "a") == newer, "what it should run")
    asked(agent, 3)
    fleet.wait(lambda: requests(fleet, "a") == 8, "windows whose numbers were used already")
    fleet.wait(lambda: fleet.device("a")["spooled_windows"] == 0, "their acknowledgement")
    device = fleet.device("a")
    assert (device["conflict"], device["lost_windows"], device["models"]["fashion"]["generation"]) == (None, 0, 2)
    assert "is a copy or was restored" in agent.log()


@pytest.mark.parametrize("gone", mostly_slow([False, True], one_in=2), ids=["damaged", "gone"])
def test_a_device_whose_spool_is_no_more_loses_nothing_that_it_records_from_then_on(fleet: Fleet, gone: bool) -> None:
    agent = fleet.add_agent("a", PROFILE)
    completed(fleet, fleet.roll_out(1))
    asked(agent, 3)
    fleet.wait(lambda: requests(fleet, "a") == 3 and not fleet.device("a")["spooled_windows"], "its windows")
    old, running = incarnation(agent), variant(fleet, "a")
    agent.stop()
    for path in agent.state.glob("spool.db*"):
        path.unlink()
    if not gone:
        (agent.state / "spool.db").write_bytes(b"rubbish" * 1000)
    agent.start()
    fleet.wait(lambda: incarnation(agent) != old, "a new incarnation")
    fleet.wait(lambda: fleet.device("a")["incarnation"] == incarnation(agent) and variant(fleet, "a"), "its report")
    asked(agent, 2)
    fleet.wait(lambda: requests(fleet, "a") == 5, "windows of a new file")
    fleet.wait(lambda: fleet.device("a")["spooled_windows"] == 0, "their acknowledgement")
    device = fleet.device("a")
    assert (device["conflict"], device["lost_windows"], variant(fleet, "a")) == (None, 0, running)
    assert ("is gone" if gone else "spool.db.broken") in agent.log()


@pytest.mark.slow
def test_a_copied_device_parts_from_the_first_and_the_two_are_a_conflict(fleet: Fleet, tmp_path: Path) -> None:
    agent = fleet.add_agent("a", PROFILE)
    agent.stop()
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(agent.state, tmp_path / "elsewhere" / "a")
    twin = Agent(tmp_path / "elsewhere", "a", PROFILE, fleet.broker, fleet.catalogue)
    fleet.agents.append(twin)
    agent.start()
    time.sleep(2)
    twin.start()
    found = fleet.wait(lambda: fleet.device("a")["conflict"], "the conflict")
    both = {incarnation(agent), incarnation(twin)}
    assert {heard["incarnation"] for heard in found["incarnations"]} == both
    assert len(both) == 2


@pytest.mark.slow
def test_a_controller_restored_in_mid_rollout_takes_nothing_back_and_says_who_is_ahead(
    fleet: Fleet, tmp_path: Path
) -> None:
    agents = {device: fleet.add_agent(device, PROFILE) for device in ("a", "b")}
    completed(fleet, fleet.roll_out(1))
    old = variant(fleet, "a")
    gate = {"soak_s": 3, "failure_threshold": 0.0, "success_threshold": 1.0}
    second = fleet.roll_out(2, waves=[0.5, 1.0], gate=gate)
    fleet.wait(lambda: fleet.rollout(second)["waves"][0]["state"] == "soaking", "the first wave to soak")
    asked(agents["a"], 1)
    fleet.wait(lambda: requests(fleet, "a") == 1 and not fleet.device("a")["spooled_windows"], "a window")
    fleet.controller.stop()
    shutil.copytree(fleet.state, tmp_path / "backup")
    fleet.start_controller()
    completed(fleet, second)
    completed(fleet, fleet.roll_out(1))
    assert {variant(fleet, device) for device in agents} == {old}
    for _ in range(3):
        sent = requests(fleet, "a")
        asked(agents["a"], 1)
        fleet.wait(lambda s=sent: requests(fleet, "a") == s + 1, "a window that the backup knows nothing of")
    fleet.wait(lambda: not fleet.device("a")["spooled_windows"], "its acknowledgement")
    before = {device: len(agent.journal) for device, agent in agents.items()}
    fleet.controller.stop()
    shutil.rmtree(fleet.state)
    shutil.copytree(tmp_path / "backup", fleet.state)
    fleet.start_controller()

    fleet.wait(lambda: all(fleet.attempt(d).get("generation") == 3 for d in agents), "reports ahead of the store")
    assert completed(fleet, second)["counts"].keys() <= {"committed", "superseded"}
    passed_over = [e for e in fleet.executions(second).values() if e["phase"] == "superseded"]
    assert len(passed_over) >= 1
    assert all("which started later" in e["detail"] for e in passed_over)
    assert {variant(fleet, device) for device in agents} == {old}
    assert {d: len(agent.journal) for d, agent in agents.items()} == before, "nobody was moved, neither on nor back"
    for device in agents:
        model = fleet.device(device)["models"]["fashion"]
        assert model["generation"] > model["desired_generation"], "shown, and found by the doctor"
    stands = requests(fleet, "a")
    asked(agents["a"], 2)
    fleet.wait(lambda: requests(fleet, "a") == stands + 2, "telemetry to go on")
    fleet.wait(lambda: not fleet.device("a")["spooled_windows"], "its acknowledgement")
    assert fleet.device("a")["lost_windows"] == 3

    fourth = fleet.roll_out(2)
    assert completed(fleet, fourth)["counts"] == {"committed": 2}
    assert {fleet.attempt(device)["generation"] for device in agents} == {4}


def test_a_backup_of_a_running_controller_by_the_documented_commands_is_whole(fleet: Fleet, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    [commands] = [block for block in page.split("```") if "VACUUM INTO" in block]
    for written, here in {
        "/var/lib/edgefleet": str(fleet.state),
        "/backup": str(tmp_path / "backup"),
        "/opt/edgefleet/bin/python": sys.executable,
    }.items():
        commands = commands.replace(written, here)
    fleet.add_agent("a", PROFILE)
    first = fleet.roll_out(1, timers={"trial_s": 2, "silent_s": 60})
    fleet.wait(lambda: fleet.executions(first)["a"]["phase"] == "trial", "a rollout under way", 60)
    subprocess.run(["sh", "-euc", commands], check=True)
    completed(fleet, first)
    fleet.controller.stop()
    shutil.rmtree(fleet.state)
    shutil.copytree(tmp_path / "backup", fleet.state)
    fleet.start_controller()
    assert completed(fleet, first)["counts"] == {"committed": 1}
    assert completed(fleet, fleet.roll_out(2))["counts"] == {"committed": 1}
