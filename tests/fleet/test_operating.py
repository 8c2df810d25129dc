"""What an operator orders, on real parts."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.fleet.asking import PROFILE, ask, tell
from tests.fleet.conftest import running_fleet
from tests.fleet.publishing import model_of, press_in

from edgefleet_operator.errors import ApiError

pytestmark = pytest.mark.fleet


@pytest.fixture
def on_first(fleet):
    """Two devices that run fashion@1."""
    agents = [fleet.add_agent(device, PROFILE) for device in ("a", "b")]
    rollout = fleet.roll_out()
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "fashion@1", 60)
    return agents


def answering(fleet, device: str) -> str | None:
    found = fleet.device(device)["models"]["fashion"]["answering"]
    return found["variant"] if found else None


def ended(fleet, rollout: str, state: str, seconds: float = 60) -> dict:
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == state, f"the rollout to be {state}", seconds)
    return fleet.rollout(rollout)


def test_a_rollback_brings_every_device_back_from_its_own_disk(fleet, on_first) -> None:
    old = answering(fleet, "a")
    second = fleet.roll_out(version=2)
    ended(fleet, second, "completed")
    assert answering(fleet, "a") != old
    sent = fleet.api.get("/health")["delivered_bytes"]
    fleet.api.post(f"/rollouts/{second}/rollback", {})
    assert ended(fleet, second, "rolled_back")["counts_back"] == {"committed": 2}
    assert {answering(fleet, d) for d in ("a", "b")} == {old}
    assert fleet.api.get("/health")["delivered_bytes"] == sent, "nothing travelled"
    for agent in on_first:
        assert agent.phases(3)[-1] == "committed"


@pytest.mark.slow
def test_a_device_that_was_away_goes_back_when_it_returns_and_is_named_until_then(fleet, on_first) -> None:
    old = answering(fleet, "b")
    second = fleet.roll_out(version=2, timers={"trial_s": 0.5, "silent_s": 60, "return_s": 3})
    ended(fleet, second, "completed")
    on_first[1].kill()
    fleet.api.post(f"/rollouts/{second}/rollback", {})
    assert "not back yet: b" in ended(fleet, second, "rollback_incomplete")["reason"]
    on_first[1].start()
    fleet.wait(lambda: answering(fleet, "b") == old, "the late one")


@pytest.mark.slow
def test_where_there_was_nothing_before_nothing_is_served_after_a_rollback(fleet) -> None:
    fleet.add_agent("a", PROFILE)
    first = fleet.roll_out()
    ended(fleet, first, "completed")
    fleet.api.post(f"/rollouts/{first}/rollback", {})
    ended(fleet, first, "rolled_back")
    assert answering(fleet, "a") is None
    assert ask(fleet.device("a")["endpoint"], np.zeros((1, 28, 28)))[0] == 503


def test_aborting_stops_transfers_within_a_second(fleet) -> None:
    agent = fleet.add_agent("slow", "eu/x86-avx2/lab")
    rollout = fleet.roll_out()
    fleet.wait(lambda: fleet.attempt("slow").get("phase") == "downloading", "the download")
    time.sleep(1)
    fleet.api.post(f"/rollouts/{rollout}/abort", {})
    time.sleep(1)
    sent = fleet.api.get("/health")["delivered_bytes"]["lab"]
    time.sleep(2)
    assert fleet.api.get("/health")["delivered_bytes"]["lab"] == sent
    assert fleet.executions(rollout)["slow"]["phase"] == "cancelled"
    fleet.wait(lambda: agent.phases(1)[-1] == "superseded", "the device to let go")


@pytest.mark.slow
def test_pausing_stops_switches_and_resuming_lets_them_go_on(fleet) -> None:
    for device in ("a", "b", "c"):
        fleet.add_agent(device, PROFILE)
    rollout = fleet.roll_out(concurrency=1, timers={"trial_s": 5, "silent_s": 60})
    fleet.wait(lambda: "trial" in fleet.rollout(rollout)["counts"], "the first switch")
    fleet.api.post(f"/rollouts/{rollout}/pause", {})
    fleet.wait(lambda: fleet.rollout(rollout)["counts"].get("committed"), "the end of the first trial")
    time.sleep(2)
    counts = fleet.rollout(rollout)["counts"]
    assert counts == {"committed": 1, "staged": 2}
    fleet.api.post(f"/rollouts/{rollout}/resume", {})
    assert ended(fleet, rollout, "completed")["counts"] == {"committed": 3}


@pytest.mark.slow
def test_a_device_that_appears_after_the_start_joins(fleet) -> None:
    fleet.add_agent("a", PROFILE)
    rollout = fleet.roll_out(gate={"soak_s": 6, "failure_threshold": 0.0, "success_threshold": 1.0})
    fleet.add_agent("late", PROFILE)
    assert ended(fleet, rollout, "completed")["counts"] == {"committed": 2}


def labels_of(fleet, device: str) -> Callable[..., None]:
    """Ask a device about samples of the example, and tell it their labels, shifted ones for wrong."""
    data = np.load(Path(__file__).parents[2] / "examples" / "fashion" / "data.npz")
    endpoint = fleet.device(device)["endpoint"]

    def label(first: int, count: int, shift: int = 0) -> None:
        for number in range(first, first + count):
            assert ask(endpoint, data["x_test"][number], f"n{number}")[0] == 200
            assert tell(endpoint, f"n{number}", int(data["y_test"][number] + shift) % 10) == 200

    return label


def test_a_model_that_is_wrong_on_live_labels_goes_back_with_the_evidence(fleet, on_first) -> None:
    label = labels_of(fleet, "a")
    label(0, 120)
    second = fleet.roll_out(version=2, waves=[1.0], gate={"soak_s": 20, "min_labels": 50})
    fleet.wait(lambda: fleet.executions(second)["a"]["phase"] == "committed", "the switch")
    label(200, 80, shift=1)  # the labels say that every answer is wrong
    shown = ended(fleet, second, "rolled_back")
    assert "eu/x86-avx2/ethernet: " in shown["reason"]
    assert "p < 0.001" in shown["reason"]
    assert any("labels" in line for wave in shown["waves"] for line in wave["evidence"])


@pytest.fixture
def with_a_third(built: Path, tmp_path: Path):
    """A fleet whose controller has fashion@3, too."""
    state = shutil.copytree(built, tmp_path / "built", ignore=shutil.ignore_patterns("broker", "cache", "work"))
    with press_in(state, tmp_path) as press:
        press.publish(3, model_of())
    with running_fleet(state, tmp_path) as running:
        yield running


def test_a_rollback_never_restores_what_a_gate_rejected_and_the_device_kept_the_one_that_passed(with_a_third) -> None:
    fleet = with_a_third
    fleet.add_agent("a", PROFILE)
    ended(fleet, fleet.roll_out(1), "completed")
    first = answering(fleet, "a")
    label = labels_of(fleet, "a")
    label(0, 120)
    gate = {"soak_s": 60, "min_labels": 50}
    second = fleet.roll_out(2, gate=gate, on_failure="pause")
    fleet.wait(lambda: fleet.executions(second)["a"]["phase"] == "committed", "the switch")
    with pytest.raises(ApiError, match=f"a is part of rollout {second} for 'fashion', which has not ended"):
        fleet.roll_out(3)
    label(200, 80, shift=1)
    assert ended(fleet, second, "paused")["waves"][0]["state"] == "failed"
    fleet.api.post(f"/rollouts/{second}/abort", {})
    rejected = answering(fleet, "a")
    assert rejected != first

    third = fleet.roll_out(3, gate=gate)
    fleet.wait(lambda: fleet.executions(third)["a"]["phase"] == "committed", "the switch")
    sent = fleet.api.get("/health")["delivered_bytes"]
    fleet.api.post(f"/rollouts/{third}/rollback", {})
    shown = ended(fleet, third, "rolled_back")
    assert answering(fleet, "a") == first
    assert fleet.api.get("/health")["delivered_bytes"] == sent, "the device had kept it"
    why = f"variant {rejected[:12]}, which ran before, was rejected in rollout {second}; {first[:12]} is the last one"
    assert f"variant {first[:12]} answers on 1 device: {why} that passed" in shown["reason"]
    assert [(way["variant"], way["devices"], way["back"]) for way in shown["returns"]] == [(first, 1, 1)]


@pytest.mark.slow
def test_labels_set_at_the_controller_bring_a_device_into_a_rollout_and_outlive_its_restart(fleet) -> None:
    agent = fleet.add_agent("a", PROFILE)
    fleet.add_agent("b", PROFILE)
    for device in ("a", "b"):
        fleet.wait(lambda device=device: fleet.device(device), f"{device} to report")
    fleet.api.post("/devices/a/labels", {"set": {"site": "oslo"}})
    rollout = fleet.roll_out(selector="site=oslo", gate={"soak_s": 5})
    boot = fleet.device("a")["boot"]
    agent.kill()
    agent.start()
    fleet.wait(lambda: fleet.device("a")["boot"] > boot, "the device to be back")
    assert fleet.device("a")["labels"]["site"] == "oslo"
    fleet.api.post("/devices/b/labels", {"set": {"site": "oslo"}})
    assert ended(fleet, rollout, "completed")["counts"] == {"committed": 2}
