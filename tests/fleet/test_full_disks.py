"""A device's disk is full, fills at the worst moment, or takes no writes: it goes on answering, and comes back."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from tests.fleet.asking import PROFILE, ask
from tests.fleet.conftest import Agent, Fleet, running_fleet
from tests.fleet.disks import Disk, break_down, failing_disk, make_read_only, make_writable, small_disk

from edgefleet_agent.checks import DISK_MARGIN_BYTES
from edgefleet_protocol.topics import up

pytestmark = pytest.mark.fleet

IMAGE = np.zeros((1, 28, 28))
DISK_MB = DISK_MARGIN_BYTES // 2**20 + 32
"""Room for two variants, and for the margin that a device keeps."""
TOO_LITTLE = 20 * 2**20
names = (f"d{number}" for number in itertools.count())


class Device:
    """One device of the fleet, its state folder on a disk of its own."""

    def __init__(self, fleet: Fleet, name: str, disk: Disk) -> None:
        self.fleet, self.name, self.disk = fleet, name, disk
        self.agent: Agent

    def join(self, profile: str = PROFILE) -> None:
        self.agent = self.fleet.add_agent(self.name, profile, "--label", f"test={self.name}")

    def roll_out(self, version: int, **fields: Any) -> str:
        return self.fleet.roll_out(version, selector=f"test={self.name}", **fields)

    def install(self, version: int) -> None:
        rollout = self.roll_out(version)
        self.wait(lambda: self.state(rollout) == "completed", f"version {version}", 60)

    @property
    def seen(self) -> dict[str, Any]:
        """What the operator sees of it."""
        return self.fleet.device(self.name) or {}

    def state(self, rollout: str) -> str:
        return str(self.fleet.rollout(rollout)["state"])

    def execution(self, rollout: str) -> dict[str, Any]:
        return self.fleet.executions(rollout)[self.name]

    def refusal(self, rollout: str) -> dict[str, Any] | None:
        """The execution, once it waits for room."""
        said = self.execution(rollout)
        return said if (said["phase"], said["reason"]) == ("notified", "no_space") else None

    def answering(self) -> str | None:
        """The variant that answers an application now; None while nothing does."""
        try:
            status, said = ask(self.seen["endpoint"], IMAGE)
        except OSError:
            return None
        return str(said["parameters"]["variant"]) if status == 200 else None

    def requests_stored(self) -> int:
        return sum(window["requests"] for window in self.fleet.api.get("/telemetry", device=self.name)["items"])

    def start_again(self) -> None:
        """Start the stopped agent, and wait until it answers, at an endpoint that it has to report first."""
        self.agent.start()
        self.wait(self.answering, "the device to answer again", 20)

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 40) -> Any:
        return self.fleet.wait(condition, what, seconds)


@pytest.fixture(scope="module")
def shared(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One controller for all of these devices: its own disk has room."""
    with running_fleet(built, tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture
def device(shared: Fleet) -> Iterator[Device]:
    name = next(names)
    with small_disk(shared.folder / name, DISK_MB) as disk:
        one = Device(shared, name, disk)
        yield one
        one.agent.kill()


@pytest.fixture
def wants(shared: Fleet, device: Device) -> Iterator[list[dict[str, Any]]]:
    """What the device asks for, as anybody at the broker sees it."""
    seen: list[dict[str, Any]] = []
    observer = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    observer.on_message = lambda _c, _u, message: seen.append(json.loads(message.payload))
    broker = urlsplit(shared.broker)
    observer.connect(broker.hostname, broker.port)
    observer.subscribe(up(device.name, "want"))
    observer.loop_start()
    yield seen
    observer.loop_stop()
    observer.disconnect()


def test_what_does_not_fit_is_refused_before_its_first_byte_and_installed_once_there_is_room(
    device: Device, wants: list[dict[str, Any]]
) -> None:
    device.join()
    device.install(1)
    old = device.answering()
    device.disk.fill(leave_bytes=TOO_LITTLE)
    wants.clear()
    second = device.roll_out(2)
    said = device.wait(lambda: device.refusal(second), "the refusal")
    need, have = (int(figure) for figure in said["detail"].removeprefix("need ").split(" bytes, have "))
    assert abs(have - TOO_LITTLE) < 65536
    assert DISK_MARGIN_BYTES < need < DISK_MARGIN_BYTES + 2 * 2**20
    time.sleep(3)  # more than one look at the disk
    variant = next(v for v in device.fleet.api.items("/variants") if v["model"] == "fashion@2")
    assert {want["blob"] for want in wants} == {variant["manifest"]}, "nothing but the manifest was asked for"
    assert device.execution(second)["transfer_bytes"] < 4096
    assert device.fleet.rollout(second)["counts"] == {"notified": 1}
    assert device.answering() == old
    device.disk.make_room()
    device.wait(lambda: device.state(second) == "completed", "the device to go on by itself")
    assert device.answering() == variant["id"]
    assert device.agent.phases(2).count("downloading") == 1


def test_who_finds_no_room_in_time_is_rejected_with_need_and_have(device: Device) -> None:
    device.join()
    device.install(1)
    old = device.answering()
    device.disk.fill(leave_bytes=TOO_LITTLE)
    timers = {"trial_s": 0.5, "silent_s": 60, "space_s": 1}
    second = device.roll_out(2, timers=timers, on_failure="pause")
    device.wait(lambda: device.state(second) == "paused", "the gate")
    said = device.execution(second)
    assert (said["phase"], said["reason"]) == ("rejected", "no_space")
    assert said["detail"].startswith("need ")
    assert "no_space" in device.fleet.rollout(second)["reason"]
    assert device.answering() == old


def test_a_disk_full_to_the_last_byte_stops_neither_answers_nor_a_restart_nor_a_way_back(device: Device) -> None:
    device.join()
    device.install(1)
    first = device.answering()
    second = device.roll_out(2)
    device.wait(lambda: device.state(second) == "completed", "the second version", 60)
    device.wait(lambda: device.requests_stored() == 1, "the telemetry so far")
    device.disk.fill()
    for _ in range(5):
        assert device.answering() not in (None, first)
        time.sleep(0.3)
    device.agent.kill()  # a power cut on the full disk
    device.disk.fill()
    device.start_again()
    device.wait(device.answering, "its answers", 10)
    device.fleet.api.post(f"/rollouts/{second}/rollback", {})
    device.wait(lambda: device.state(second) == "rolled_back", "the way back")
    before = device.requests_stored()
    asked = [device.answering() for _ in range(5)]
    assert asked == [first] * 5
    device.wait(lambda: device.seen["disk_trouble"], "the device's word about its disk")
    device.disk.make_room()
    device.wait(lambda: device.seen["disk_trouble"] is None, "the disk to be found well")
    device.wait(lambda: device.requests_stored() >= before + 5, "what was counted meanwhile")
    assert device.seen["dropped_windows"] == 0
    assert device.agent.running


@pytest.mark.parametrize("leave_bytes", [0, 128 * 1024], ids=["during-download", "during-unpack"])
def test_a_disk_that_fills_on_the_way_only_delays(device: Device, leave_bytes: int) -> None:
    device.join("eu/x86-avx2/lab")
    rollout = device.roll_out(2)
    downloads = device.disk.folder / "downloads"
    device.wait(lambda: list(downloads.rglob("*.bitmap")), "the first synced chunks")
    device.disk.fill(leave_bytes)
    device.wait(lambda: device.refusal(rollout), "the device to say so", 60)
    assert ("verified" in device.agent.phases(1)) == bool(leave_bytes)
    time.sleep(2)
    assert device.agent.running
    device.disk.make_room()
    device.wait(lambda: device.state(rollout) == "completed", "the device to go on by itself", 60)
    assert device.answering()
    assert device.execution(rollout)["transfer_bytes"] < 400_000, "what had arrived was not thrown away"


def test_a_device_that_starts_on_a_read_only_disk_answers_and_goes_on_when_it_can_write(device: Device) -> None:
    device.join()
    device.install(1)
    old = device.answering()
    device.agent.stop()
    make_read_only(device.disk)
    device.start_again()
    device.agent.stop()
    device.start_again()  # also the second time, when the first could not be counted
    device.wait(lambda: device.answering() == old, "its answers", 15)
    device.wait(lambda: device.seen["disk_trouble"], "the device's word about its disk")
    second = device.roll_out(2)
    time.sleep(2)
    assert device.answering() == old
    make_writable(device.disk)
    device.wait(lambda: device.state(second) == "completed", "the device to go on by itself", 60)
    assert device.seen["disk_trouble"] is None


def test_a_disk_that_breaks_under_a_running_device_leaves_its_answers(shared: Fleet) -> None:
    name = next(names)
    with failing_disk(shared.folder / name, DISK_MB) as disk:
        device = Device(shared, name, disk)
        device.join()
        device.install(1)
        old = device.answering()
        break_down(disk)
        second = device.roll_out(2)
        device.wait(lambda: device.seen["disk_trouble"], "the device's word about its disk")
        assert [device.answering() for _ in range(10)] == [old] * 10
        assert device.agent.running
        assert device.execution(second)["phase"] == "assigned", "what cannot be saved is not begun"
        device.agent.kill()
        device.start_again()
        device.wait(lambda: device.answering() == old, "its answers after a restart", 15)
        device.agent.kill()
        device.fleet.api.post(f"/rollouts/{second}/abort", {})
