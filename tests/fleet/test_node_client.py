"""The client in examples/node-client, written from docs/protocol.md alone, as a device of a real fleet."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Broker, mosquitto, nats, running
from tests.fleet.conftest import Fleet, running_fleet
from tests.fleet.node import CLIENT, NodeDevice, installed, node

pytestmark = [pytest.mark.fleet, pytest.mark.broker]

WAY = ["notified", "downloading", "verified", "staged", "self_test", "trial", "committed"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The client with its packages."""
    return installed(tmp_path_factory, worker_id)


@pytest.fixture(params=[nats, pytest.param(mosquitto, marks=pytest.mark.slow)], ids=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Each broker that we promise to work with."""
    yield from running(request.param(tmp_path_factory.mktemp("broker")))


@pytest.fixture
def fleet(built: Path, tmp_path: Path, broker: Broker) -> Iterator[Fleet]:
    """A controller with two built versions, on that broker."""
    with running_fleet(built, tmp_path / "fleet", "--broker", broker.url) as running:
        yield running


@pytest.fixture
def device(client: Path, tmp_path: Path, fleet: Fleet) -> Iterator[NodeDevice]:
    """The client as the fleet's only device."""
    one = NodeDevice(client, tmp_path, fleet.broker)
    one.start()
    fleet.wait(lambda: fleet.device(one.id), "the client to report")
    yield one
    one.kill()


def completed(fleet: Fleet, rollout: str, state: str = "completed") -> dict[str, Any]:
    fleet.wait(lambda: fleet.rollout(rollout)["state"] not in ("running", "rolling_back"), f"the end of {rollout}", 60)
    shown = fleet.rollout(rollout)
    assert shown["state"] == state, shown["reason"]
    return shown


def test_the_worked_examples_of_the_pages_are_what_the_client_reads_and_makes(client: Path) -> None:
    words = [node(), "--test", str(client / "pages.test.js")]
    environment = {"EDGEFLEET_DOCS": str(CLIENT.parents[1] / "docs")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stdout
    assert "pass 5" in done.stdout


def test_the_client_goes_through_whole_rollouts_a_broken_broker_and_back(
    fleet: Fleet, device: NodeDevice, broker: Broker
) -> None:
    def answering() -> Any:
        return fleet.device(device.id)["models"]["fashion"]["answering"]

    def counted() -> dict[str, int]:
        found = fleet.api.items("/telemetry", device=device.id)
        return {one["group"]["variant"]: one["requests"] for one in found}

    completed(fleet, fleet.roll_out())
    assert device.phases(1) == WAY
    first = answering()
    assert first["model_version"] == 1
    fleet.wait(lambda: counted().get(first["variant"]), "windows of the first version")

    second = fleet.roll_out(version=2, timers={"trial_s": 3, "silent_s": 60})
    fleet.wait(lambda: "trial" in device.phases(2), "the trial")
    broker.kill()
    broker.wipe_store()
    broker.start()
    completed(fleet, second)
    assert device.phases(2) == WAY
    fleet.wait(lambda: counted().get(answering()["variant"]), "windows of the second version")
    assert answering()["model_version"] == 2

    fleet.api.post(f"/rollouts/{second}/rollback", {})
    completed(fleet, second, "rolled_back")
    assert device.phases(3) == ["notified", "staged", "self_test", "trial", "committed"]
    assert answering() == {**first, "generation": 3}

    device.stop()  # its last window stays on its disk until it is back
    known = fleet.device(device.id)
    device.start()
    fleet.wait(lambda: fleet.device(device.id)["boot"] == known["boot"] + 1, "the second start")
    before = counted()[first["variant"]]
    fleet.wait(lambda: counted()[first["variant"]] > before, "windows after the restart")
    fleet.wait(lambda: fleet.device(device.id)["spooled_windows"] <= 1, "every window to be acknowledged")
    shown = fleet.device(device.id)
    assert (shown["incarnation"], shown["lost_windows"], shown["dropped_windows"]) == (known["incarnation"], 0, 0)
    assert device.phases(3)[-1] == "committed"


def broken_broker(fleet: Fleet, broker: Broker) -> None:
    broker.kill()
    time.sleep(1.5)
    broker.start()


def killed_controller(fleet: Fleet, broker: Broker) -> None:
    fleet.controller.kill()
    fleet.start_controller()


@pytest.mark.slow
@pytest.mark.parametrize("fail", [broken_broker, killed_controller])
def test_a_download_goes_on_after_a_failure(
    client: Path, tmp_path: Path, fleet: Fleet, broker: Broker, fail: Callable[[Fleet, Broker], None]
) -> None:
    device = NodeDevice(client, tmp_path, fleet.broker, link="line")
    device.start()
    try:
        fleet.wait(lambda: fleet.device(device.id), "the client to report")
        rollout = fleet.roll_out(version=2)
        # The blobs before the encoding make a small part of this.
        fleet.wait(lambda: fleet.attempt(device.id).get("transfer", {}).get("bytes_done", 0) > 65_536, "chunks")
        fail(fleet, broker)
        completed(fleet, rollout)
        transfer = fleet.attempt(device.id)["transfer"]
        assert device.phases(1) == WAY
        assert transfer["wants"] > 5  # one for each blob, and one for what was still missing
        assert transfer["bytes_done"] == transfer["bytes_total"]
    finally:
        device.kill()
