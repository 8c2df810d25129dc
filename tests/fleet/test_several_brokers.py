"""With two brokers killed in turn, controller and devices meet at the one that is left, and say which one it is."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import Broker, mosquitto, nats, running
from tests.fleet.asking import PROFILE
from tests.fleet.conftest import Agent, Fleet

pytestmark = pytest.mark.fleet

WAIT_S = 60


@pytest.fixture(params=[nats, pytest.param(mosquitto, marks=pytest.mark.slow)], ids=["nats", "mosquitto"])
def brokers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Broker, Broker]]:
    """Two that know nothing of each other."""
    make: Callable[[Path], Broker] = request.param
    first, second = (make(tmp_path_factory.mktemp("broker")) for _ in range(2))
    starting = running(first), running(second)
    yield next(starting[0]), next(starting[1])
    for one in starting:
        next(one, None)


@pytest.fixture
def fleet(built: Path, brokers: tuple[Broker, Broker], tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, "--broker", brokers[0].url, "--broker", brokers[1].url)
    shutil.copytree(built, made.state, ignore=shutil.ignore_patterns("broker", "controller.json", "api.port"))
    made.start_controller()
    yield made
    made.stop()


def status_of(agent: Agent) -> str:
    command = [sys.executable, "-m", "edgefleet_agent", "status", "--state", str(agent.state)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def meet_at(fleet: Fleet, agent: Agent, broker: Broker) -> None:
    """Wait until the controller and the device are there, and hear each other."""
    fleet.wait(lambda: f"connected to {broker.url}," in status_of(agent), f"the device to be at {broker.url}", WAIT_S)
    fleet.wait(lambda: health(fleet) == ("ok", broker.url), f"the controller to be at {broker.url}", WAIT_S)
    now = fleet.api.get("/health")["now_ms"]
    fleet.wait(lambda: (fleet.device(agent.id) or {})["last_seen_ms"] > now, "the device to be heard", WAIT_S)


def health(fleet: Fleet) -> tuple[str, str]:
    told = fleet.api.get("/health")
    return told["status"], told["broker"]


def test_whoever_loses_a_broker_goes_on_at_the_next(fleet: Fleet, brokers: tuple[Broker, Broker]) -> None:
    first, second = brokers
    assert fleet.broker == f"{first.url},{second.url}", "devices are told all of them"
    agent = fleet.add_agent("kiosk", PROFILE)
    meet_at(fleet, agent, first)
    first.kill()
    meet_at(fleet, agent, second)
    rollout = fleet.roll_out()
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", WAIT_S)
    first.start()
    second.kill()
    meet_at(fleet, agent, first)
    said = agent.log()
    assert said.count(f"connected to {first.url}") >= 2 and f"connected to {second.url}" in said
    assert f"connected to the broker at {second.url}" in fleet.controller.log()
