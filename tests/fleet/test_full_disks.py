"""A device's disk is full, fills at the worst moment, or takes no writes: it goes on answering, and comes back."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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

LAB = "eu/x86-avx2/lab"
IMAGE = np.zeros((1, 28, 28))
DISK_MB = DISK_MARGIN_BYTES // 2**20 + 32
"""Room for two variants, and for the margin that a device keeps."""
TOO_LITTLE = 20 * 2**20


class Device:
    """One device of the fleet, its state folder on a disk of its own."""

    def __init__(self, fleet: Fleet, name: str, disk: Disk) -> None:
        self.fleet, self.name, self.disk = fleet, name, disk
        profile = LAB if name.startswith("lab") else PROFILE
        options = ("--label", f"name={name}")
        self.agent = Agent(fleet.folder, name, profile, fleet.broker, fleet.catalogue, *options)
        fleet.agents.append(self.agent)
        self.agent.start()

    def roll_out(self, version: int, **fields: Any) -> str:
        return self.fleet.roll_out(version, selector=f"name={self.name}", **fields)

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
def devices(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Device]]:
    """One controller, whose own disk has room, and a device for each test, with fashion@1 but for those of the lab."""
    folder = tmp_path_factory.mktemp("fleet")
    with running_fleet(built, folder) as fleet, ExitStack() as disks:
        found: dict[str, Device] = {}
        for name in ("waits", "rejected", "full", "read-only", "breaks", "lab-a", "lab-b"):
            kind = failing_disk if name == "breaks" else small_disk
            found[name] = Device(fleet, name, disks.enter_context(kind(folder / name, DISK_MB)))
        fleet.wait(lambda: all(device.seen for device in found.values()), "every device to report", 90)
        first = fleet.roll_out(selector="link!=lab")
        fleet.wait(lambda: fleet.rollout(first)["state"] == "completed", "the first version", 90)
        yield found
        for device in found.values():
            device.agent.kill()


@pytest.fixture
def device(devices: dict[str, Device], request: pytest.FixtureRequest) -> Device:
    """The device whose name the test was marked with."""
    return devices[request.param]


def on(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("device", [name], indirect=True)


@pytest.fixture
def wants(device: Device) -> Iterator[list[dict[str, Any]]]:
    """What the device asks for, as anybody at the broker sees it."""
    seen: list[dict[str, Any]] = []
    observer = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    observer.on_message = lambda _c, _u, message: seen.append(json.loads(message.payload))
    broker = urlsplit(device.fleet.broker)
    observer.connect(broker.hostname, broker.port)
    observer.subscribe(up(device.name, "want"))
    observer.loop_start()
    yield seen
    observer.loop_stop()
    observer.disconnect()


@on("waits")
def test_what_does_not_fit_is_refused_before_its_first_byte_and_installed_once_there_is_room(
    device: Device, wants: list[dict[str, Any]]
) -> None:
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


@on("rejected")
def test_who_finds_no_room_in_time_is_rejected_with_need_and_have(device: Device) -> None:
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


@on("full")
def test_a_disk_full_to_the_last_byte_stops_neither_answers_nor_a_restart_nor_a_way_back(device: Device) -> None:
    first = device.answering()
    second = device.roll_out(2)
    device.wait(lambda: device.state(second) == "completed", "the second version", 60)
    device.wait(lambda: device.requests_stored(), "the telemetry so far")
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
    device.disk.fill()  # what was returned from is gone, which made room
    before = device.requests_stored()
    asked = [device.answering() for _ in range(5)]
    assert asked == [first] * 5
    device.wait(lambda: device.seen["disk_trouble"], "the device's word about its disk")
    device.disk.make_room()
    device.wait(lambda: device.seen["disk_trouble"] is None, "the disk to be found well")
    device.wait(lambda: device.requests_stored() >= before + 5, "what was counted meanwhile")
    assert device.seen["dropped_windows"] == 0
    assert device.agent.running


@pytest.mark.slow
def test_a_disk_that_fills_on_the_way_only_delays(devices: dict[str, Device]) -> None:
    both = [devices["lab-a"], devices["lab-b"]]
    in_download, in_unpacking = both
    fleet = in_download.fleet
    rollout = fleet.roll_out(2, selector="link=lab")
    for device in both:
        device.wait(lambda d=device: list((d.disk.folder / "downloads").rglob("*.bitmap")), "the first synced chunks")
    in_download.disk.fill()
    in_unpacking.disk.fill(leave_bytes=128 * 1024)
    for device in both:
        device.wait(lambda d=device: d.refusal(rollout), f"{device.name} to say so", 60)
    assert ["verified" in device.agent.phases(1) for device in both] == [False, True]
    time.sleep(2)
    assert all(device.agent.running for device in both)
    for device in both:
        device.disk.make_room()
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "both to go on by themselves", 60)
    assert all(device.answering() for device in both)
    for device in both:
        assert device.execution(rollout)["transfer_bytes"] < 400_000, "what had arrived was not thrown away"


@on("read-only")
def test_a_device_that_starts_on_a_read_only_disk_answers_and_goes_on_when_it_can_write(device: Device) -> None:
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


@on("breaks")
def test_a_disk_that_breaks_under_a_running_device_leaves_its_answers(device: Device) -> None:
    old = device.answering()
    break_down(device.disk)
    second = device.roll_out(2)
    device.wait(lambda: device.seen["disk_trouble"], "the device's word about its disk")
    assert [device.answering() for _ in range(10)] == [old] * 10
    assert device.agent.running
    assert device.execution(second)["phase"] == "assigned", "what cannot be saved is not begun"
    device.agent.kill()
    device.start_again()
    device.wait(lambda: device.answering() == old, "its answers after a restart", 15)
    device.fleet.api.post(f"/rollouts/{second}/abort", {})
