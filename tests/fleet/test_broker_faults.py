"""A broker is stopped, killed, or loses its store under a rollout: everyone returns, nothing is lost or doubled.

One fleet for each kind of broker goes through all of it; an application asks its devices all the time.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from tests.conftest import Broker, mosquitto, nats, running
from tests.fleet.asking import PROFILE
from tests.fleet.conftest import Agent, Fleet, running_fleet
from tests.fleet.traffic import Application, Ledger
from tests.parting import mostly_slow

pytestmark = [pytest.mark.fleet, pytest.mark.broker]

LINE = "eu/x86-avx2/line"  # takes some seconds for a variant
DOWN_S = 1.5
LONGEST_PAUSE_S = 60.0  # docs/protocol.md
PAUSE = re.compile(r"next attempt in ([0-9.]+) s \(random, at most ([0-9.]+) s\)")
ATTEMPT = re.compile(r"connected to|no connection to")


class Troubled:
    """A fleet on a broker of its own that is going to fail, and the application that uses its devices."""

    def __init__(self, fleet: Fleet, broker: Broker) -> None:
        self.fleet, self.broker = fleet, broker
        self.ledger, self.application = Ledger(fleet), Application()
        self.version = 0

    def start(self, device: str, profile: str, *options: str) -> None:
        """Start an agent; many at a time come up faster than one after the other."""
        known = ("--label", f"name={device}", "--log-format", "json", "--window", "0.4")
        fleet = self.fleet
        agent = Agent(fleet.folder, device, profile, fleet.broker, fleet.catalogue, *known, *options)
        fleet.agents.append(agent)
        agent.start()

    def use(self) -> None:
        """Wait for every agent, and let the application ask them all."""
        for agent in self.fleet.agents:
            self.fleet.wait(lambda agent=agent: self.fleet.device(agent.id), f"{agent.id} to report")
            self.application.ask_too(agent)
        self.application.resume()

    def agent(self, device: str) -> Agent:
        return next(agent for agent in self.fleet.agents if agent.id == device)

    def on(self, profile: str) -> list[Agent]:
        return [agent for agent in self.fleet.agents if agent.profile == profile]

    def next_version(self) -> int:
        """fashion@1 and fashion@2 in turn: there is always something to switch to."""
        self.version = self.version % 2 + 1
        return self.version

    def roll_out(self, version: int, selector: str, **timers: float) -> str:
        return self.fleet.roll_out(version, selector=selector, timers={"trial_s": 1, "silent_s": 180, **timers})

    def completed(self, rollout: str) -> None:
        self.fleet.wait(lambda: self.fleet.rollout(rollout)["state"] != "running", f"the end of {rollout}", 120)
        shown = self.fleet.rollout(rollout)
        assert shown["state"] == "completed", shown["reason"]
        assert set(shown["counts"]) == {"committed"}

    def connections(self) -> float:
        """How often the controller has connected."""
        page = httpx.get(f"{self.fleet.api.url}/metrics").text
        found = re.search(r"^edgefleet_broker_connections_total (\S+)$", page, re.MULTILINE)
        assert found, page
        return float(found[1])


def stop(broker: Broker) -> None:
    broker.stop()


def kill(broker: Broker) -> None:
    broker.kill()


def kill_and_lose_its_store(broker: Broker) -> None:
    broker.kill()
    broker.wipe_store()


FAULTS = (kill_and_lose_its_store, stop, kill)


def name_of(fail: Callable[[Broker], None]) -> str:
    """The slow device that downloads in a fault."""
    return f"slow-{fail.__name__}".replace("_", "-")


@pytest.fixture(
    scope="module", params=[nats, pytest.param(mosquitto, marks=pytest.mark.slow)], ids=["nats", "mosquitto"]
)
def troubled(
    request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Troubled]:
    """Three devices that run fashion@1 and four that run nothing, on each broker that we promise to work with."""
    for broker in running(request.param(tmp_path_factory.mktemp("broker"))):
        with running_fleet(built, tmp_path_factory.mktemp("fleet"), "--broker", broker.url) as fleet:
            one = Troubled(fleet, broker)
            for device in ("a", "b", "c"):
                one.start(device, PROFILE)
            for fail in FAULTS:
                one.start(name_of(fail), LINE)
            one.start("quiet", "na/x86-avx2/wifi", "--heartbeat", "30")
            one.use()
            one.completed(one.roll_out(one.next_version(), "link=ethernet"))
            yield one
            one.application.end()


# Losing its store, the broker is killed too.
@pytest.mark.parametrize("fail", mostly_slow(FAULTS, one_in=3))
def test_a_broker_may_fail_in_downloads_trials_and_telemetry(
    troubled: Troubled, fail: Callable[[Broker], None]
) -> None:
    fleet, ledger = troubled.fleet, troubled.ledger
    slow, fast = troubled.agent(name_of(fail)), troubled.on(PROFILE)
    trying = troubled.roll_out(troubled.next_version(), "link=ethernet", trial_s=15)
    fleet.wait(lambda: all(agent.journal[-1]["phase"] == "trial" for agent in fast), "everyone's trial")
    fetching = troubled.roll_out(2, f"name={slow.id}")
    fleet.wait(lambda: any((slow.state / "downloads").rglob("*.bitmap")), "the first chunks")
    connections, failed_at = troubled.connections(), time.time()

    fail(troubled.broker)
    assert [agent.journal[-1]["phase"] for agent in (slow, *fast)] == ["downloading", *["trial"] * 3]
    time.sleep(DOWN_S)
    fleet.wait(lambda: all(ledger.waiting(agent) >= 3 for agent in fast), "windows that wait in the spools")
    troubled.broker.start()

    for rollout in (trying, fetching):
        troubled.completed(rollout)
    assert troubled.connections() > connections
    everyone_came_back_at_a_random_moment(fleet, failed_at)
    no_generation_was_activated_twice(fleet)
    every_window_became_one_row(troubled)
    assert troubled.application.answered[slow.id]


def test_a_controller_that_comes_later_than_its_devices_says_hello_and_hears_what_nobody_heard(
    troubled: Troubled,
) -> None:
    fleet = troubled.fleet
    quiet = troubled.agent("quiet")
    rollout = troubled.roll_out(2, "name=quiet", trial_s=3)
    fleet.wait(lambda: fleet.executions(rollout)["quiet"]["phase"] == "trial", "the trial")
    fleet.controller.kill()
    failed_at = time.time()
    kill_and_lose_its_store(troubled.broker)
    troubled.broker.start()
    fleet.wait(lambda: quiet.journal[-1]["phase"] == "committed", "the commit")
    fleet.wait(lambda: connected(quiet, failed_at), "the device, back before the controller", LONGEST_PAUSE_S + 10)
    fleet.start_controller()
    fleet.wait(lambda: fleet.executions(rollout)["quiet"]["phase"] == "committed", "an answer to hello", 15)
    troubled.completed(rollout)
    no_generation_was_activated_twice(fleet)
    every_window_became_one_row(troubled)


def said(agent: Agent, since_s: float) -> list[tuple[float, str]]:
    """What an agent has logged of its connection since then, with the time of it."""
    lines = [json.loads(line) for line in agent.log().splitlines() if line.startswith("{")]
    timed = [(datetime.fromisoformat(line["time"]).timestamp(), line["message"]) for line in lines]
    told = [(at_s, text) for at_s, text in timed if PAUSE.search(text) or ATTEMPT.match(text)]
    return [(at_s, text) for at_s, text in told if at_s >= since_s]


def connected(agent: Agent, since_s: float) -> bool:
    return any(text.startswith("connected to") for _, text in said(agent, since_s))


def everyone_came_back_at_a_random_moment(fleet: Fleet, failed_at: float) -> None:
    shares = []  # of the bound, which differs: who had been connected for long begins with a shorter one
    for agent in fleet.agents:
        # Whoever failed often before begins with a long pause.
        back = partial(connected, agent, failed_at)
        fleet.wait(back, f"{agent.id} to come back", LONGEST_PAUSE_S + 10)
        lines = said(agent, failed_at)
        fleet.wait(lambda id=agent.id: fleet.device(id)["last_seen_ms"] / 1000 > failed_at, f"a word of {agent.id}")
        drawn: list[tuple[float, float]] = []
        for (at_s, text), (next_s, _) in pairwise(lines):
            if found := PAUSE.search(text):
                pause_s, longest_s = map(float, found.groups())
                assert pause_s <= longest_s <= LONGEST_PAUSE_S
                assert next_s - at_s >= pause_s - 0.01, f"{agent.id} tried again before its pause was over"
                drawn.append((pause_s, longest_s))
        assert drawn, f"{agent.id} did not notice"
        assert all(later == min(2 * earlier, LONGEST_PAUSE_S) for (_, earlier), (_, later) in pairwise(drawn)), drawn
        shares.append(drawn[0][0] / drawn[0][1])
    assert max(shares) - min(shares) > 0.01, "a fleet that comes back in step"


def no_generation_was_activated_twice(fleet: Fleet) -> None:
    for agent in fleet.agents:
        for generation in {entry["generation"] for entry in agent.journal}:
            phases = agent.phases(generation)
            assert (phases.count("trial"), phases.count("committed")) == (1, 1), (agent.id, generation, phases)


def every_window_became_one_row(troubled: Troubled) -> None:
    """What the application counted is what the devices measured, and what the controller stored, each window once."""
    application, ledger, agents = troubled.application, troubled.ledger, troubled.fleet.agents
    application.pause()

    def all_told() -> bool:
        return all(ledger.requests(agent) >= application.answered[agent.id] for agent in agents)

    troubled.fleet.wait(all_told, "the last windows, also of who begins with a long pause", LONGEST_PAUSE_S + 10)
    for agent in agents:
        assert ledger.stored(agent) == list(range(1, ledger.made(agent) + 1)), agent.id
        assert ledger.requests(agent) == application.answered[agent.id], agent.id
        assert troubled.fleet.device(agent.id)["dropped_windows"] == 0
    assert application.refused == [], "the devices answered all the time"
    application.resume()
