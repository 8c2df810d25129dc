"""The loop on real parts, and what it survives."""

import base64
import contextlib
import json
import os
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from tests.fleet.asking import PROFILE, ask, tell
from tests.fleet.witness import LINE
from tests.patience import slowed

from edgefleet_protocol.topics import up

pytestmark = pytest.mark.fleet


@pytest.mark.journey
def test_a_rollout_reaches_its_devices_and_their_answers_come_back_as_telemetry(fleet) -> None:
    for device in ("a", "b", "c"):
        fleet.add_agent(device, PROFILE)
    endpoint = fleet.device("a")["endpoint"]
    data = np.load(Path(__file__).parents[2] / "examples" / "fashion" / "data.npz")
    assert ask(endpoint, data["x_test"][0])[0] == 503
    rollout = fleet.roll_out(waves=[0.3, 1.0])
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 60)
    shown = fleet.rollout(rollout)
    assert [w["state"] for w in shown["waves"]] == ["passed", "passed"]
    assert shown["counts"] == {"committed": 3}
    for number in range(20):
        status, said = ask(endpoint, data["x_test"][number], f"n{number}")
        assert status == 200
        assert said["parameters"]["variant"] == fleet.device("a")["models"]["fashion"]["answering"]["variant"]
        assert tell(endpoint, f"n{number}", int(data["y_test"][number])) == 200

    def stored() -> dict | None:
        found = fleet.api.get("/telemetry", device="a")["items"]
        return found[0] if found and found[0]["labelled"] == 20 else None

    window = fleet.wait(stored, "twenty labelled answers")
    assert window["requests"] == 20
    assert window["accuracy"] >= 0.75
    assert window["p50_ms"] > 0


def test_one_broadcast_serves_every_device_of_a_channel(fleet) -> None:
    for device in ("a", "b", "c"):
        fleet.add_agent(device, LINE)
    rollout = fleet.roll_out(version=2)
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 60)
    wanted = sum(e["transfer_bytes"] for e in fleet.executions(rollout).values())
    sent = sum(fleet.api.get("/health")["delivered_bytes"].values())
    assert sent < wanted / 2, "each device would have cost the controller its own copy"


@pytest.mark.slow
def test_a_killed_controller_goes_on_with_its_wave(fleet) -> None:
    agents = [fleet.add_agent(device, PROFILE) for device in ("a", "b", "c", "d")]
    rollout = fleet.roll_out(waves=[0.5, 1.0], timers={"trial_s": 2, "silent_s": 60})
    fleet.wait(lambda: "trial" in fleet.rollout(rollout)["counts"], "a device in its trial")
    broker = fleet.broker
    pid = (fleet.state / "broker" / "broker.pid").read_text()
    fleet.controller.kill()
    time.sleep(1)
    fleet.start_controller()
    assert fleet.broker == broker
    assert (fleet.state / "broker" / "broker.pid").read_text() == pid, "the living broker is adopted"
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 60)
    shown = fleet.rollout(rollout)
    phases = [e["phase"] for e in fleet.executions(rollout).values()]
    assert shown["counts"] == {"committed": 4} == {p: phases.count(p) for p in phases}
    assert {n: sum(w["counts"].values()) for n, w in enumerate(shown["waves"], 1)} == {1: 2, 2: 2}
    for agent in agents:
        assert agent.phases(1).count("committed") == 1
        assert agent.phases(1).count("trial") == 1
        assert {entry["generation"] for entry in agent.journal} == {1}, "no generation but the one that was given"


@pytest.mark.slow
def test_a_killed_controller_and_broker_come_back_on_the_same_ports(fleet) -> None:
    fleet.add_agent("a", PROFILE)
    rollout = fleet.roll_out(timers={"trial_s": 2, "silent_s": 60})
    fleet.wait(lambda: "trial" in fleet.rollout(rollout)["counts"], "a device in its trial")
    broker, api = fleet.broker, fleet.api.url
    fleet.controller.kill()
    os.kill(int((fleet.state / "broker" / "broker.pid").read_text()), signal.SIGKILL)
    fleet.start_controller()
    assert (fleet.broker, fleet.api.url) == (broker, api)
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 60)


@pytest.mark.slow
def test_what_happened_while_the_controller_was_down_is_in_the_next_snapshot(fleet) -> None:
    agent = fleet.add_agent("a", PROFILE)
    rollout = fleet.roll_out(timers={"trial_s": 2, "silent_s": 60})
    fleet.wait(lambda: "trial" in agent.phases(1), "the trial")
    fleet.controller.kill()
    fleet.wait(lambda: "committed" in agent.phases(1), "the commit, with nobody listening")
    time.sleep(1.5)
    fleet.start_controller()
    fleet.wait(lambda: fleet.executions(rollout)["a"]["phase"] == "committed", "the snapshot", 5)
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout")


def missing_in(request: dict) -> set[int]:
    bits = base64.b64decode(request["missing"])
    return {i for i in range(request["chunks"]) if bits[i >> 3] >> (i & 7) & 1}


@pytest.mark.slow
def test_an_agent_killed_in_a_download_goes_on_where_it_was(fleet) -> None:
    wants: list[dict] = []
    observer = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    observer.on_message = lambda _c, _u, message: wants.append(json.loads(message.payload))
    host, port = urlsplit(fleet.broker).hostname, urlsplit(fleet.broker).port
    observer.connect(host, port)
    observer.subscribe(up("slow", "want"))
    observer.loop_start()
    agent = fleet.add_agent("slow", "eu/x86-avx2/lab")
    fleet.roll_out(segment=None, selector="link=lab")

    def encoding_wants() -> list[dict]:
        return [w for w in wants if w["chunks"] >= 100]

    fleet.wait(encoding_wants, "a want of the encoding")

    def synced() -> set[int]:
        """What the bitmap on the agent's disk claims."""
        for path in (agent.state / "downloads").rglob("*.bitmap"):
            with contextlib.suppress(OSError, ValueError):
                bits = base64.b64decode(json.loads(path.read_bytes())["bitmap"])
                return {i for i in range(len(bits) * 8) if bits[i >> 3] >> (i & 7) & 1}
        return set()

    fleet.wait(lambda: len(synced()) >= 60, "sixty synced chunks", 60)
    agent.kill()
    before = synced()
    assert before
    seen = len(encoding_wants())
    agent.start()
    fleet.wait(lambda: len(encoding_wants()) > seen, "the next want")
    after = missing_in(encoding_wants()[seen])
    observer.loop_stop()
    assert after, "the download was not over yet"
    assert after.isdisjoint(before), "what was synced is never asked for again"
    assert agent.phases(1).count("downloading") >= 1
    fleet.wait(lambda: len(synced()) >= len(before) + 32, "the download to go on", 30)


@pytest.mark.parametrize(("phase", "ends_as"), [("self_test", "failed_no_change"), ("trial", "failed_rolled_back")])
def test_an_agent_killed_while_it_proves_a_variant_comes_back_on_the_old_one(fleet, phase: str, ends_as: str) -> None:
    agent = fleet.add_agent("a", PROFILE)
    first = fleet.roll_out()
    fleet.wait(lambda: fleet.rollout(first)["state"] == "completed", "the first version")
    old = fleet.device("a")["models"]["fashion"]["answering"]
    agent.stop()
    agent.start(EDGEFLEET_FAILPOINT=f"journaled/{phase}")
    second = fleet.roll_out(version=2)
    fleet.wait(lambda: not agent.running, f"the power cut in {phase}")
    assert agent.status == -9
    assert agent.phases(2)[-1] == phase
    agent.start()
    fleet.wait(lambda: fleet.executions(second)["a"]["phase"] == ends_as, "the device's word")
    said = fleet.executions(second)["a"]
    assert said["reason"] == "interrupted"
    fleet.wait(lambda: fleet.device("a")["models"]["fashion"]["answering"] == old, "the old variant")
    status, answer = ask(fleet.device("a")["endpoint"], np.zeros((1, 28, 28)))
    assert status == 200
    assert answer["parameters"]["variant"] == old["variant"]
    fleet.wait(lambda: fleet.rollout(second)["state"] == "rolled_back", "the gate")
    assert "interrupted" in fleet.rollout(second)["reason"]


def test_the_controller_ends_within_two_seconds_of_sigterm(fleet) -> None:
    fleet.add_agent("a", PROFILE)
    started = time.monotonic()
    fleet.controller.stop()
    assert time.monotonic() - started < 2 * slowed()
    assert fleet.controller.status == 0
