"""A controller that is killed at a failpoint, whatever it is asked to do there, and started again."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import paho.mqtt.client as mqtt
from tests.fleet import invariants
from tests.fleet.asking import PROFILE, ask
from tests.fleet.conftest import Agent, Fleet
from tests.plain import PlainClient

from edgefleet_operator.errors import ApiError
from edgefleet_protocol import topics
from edgefleet_protocol.phases import ENDED

IMAGE = np.zeros((1, 28, 28))
POLL_S = 0.2
ASK_EVERY_S = 0.5
PATIENCE_S = 150.0
OPEN = ("running", "paused", "rolling_back")
FOR_EVER_S = 3600.0
Goal = Callable[[], bool]
"""Goes on towards something that a test wants of the controller; whether it is reached. May be called again."""


class Scene:
    """A fleet whose controller is killed again and again, and what it has acknowledged so far."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.rollout: str | None = None
        self.acknowledged: list[tuple[str, str]] = []
        """Paths that were answered, and the field in which their names stand."""
        self._version = 1
        self._written = 0
        self._agents: dict[str, Agent] = {}
        self.removed: set[str] = set()
        self._asked = threading.Event()
        self._unanswered: list[str] = []
        self._answered: set[int | None] = set()
        self._asker = threading.Thread(target=self._ask_all)
        self._asker.start()

    # ---- the fleet ---------------------------------------------------------------------------------------------

    def agent(self, name: str) -> Agent:
        """An agent of that name, started when it is first asked for."""
        if name not in self._agents:
            agent = Agent(self.fleet.folder, name, PROFILE, self.fleet.broker, self.fleet.catalogue, "--label", "g=1")
            agent.start()
            self._agents[name] = agent
            self.fleet.agents.append(agent)
        return self._agents[name]

    def wait_for(self, *names: str) -> None:
        """Let agents join."""
        for name in names:
            self.agent(name)
        for name in names:
            self.fleet.wait(lambda name=name: self.fleet.device(name), f"{name} to report")

    def _ask_all(self) -> None:
        """An application on each device: that the controller is gone is nothing to it."""
        while not self._asked.wait(ASK_EVERY_S):
            for name, agent in list(self._agents.items()):
                with contextlib.suppress(OSError):
                    process = agent.pid  # one that was started again may first load its variant
                    status = ask((agent.state / "endpoint").read_text(), IMAGE)[0]
                    if status == 200:
                        self._answered.add(process)
                    elif process in self._answered:
                        self._unanswered.append(f"{name} answered {status}")

    def rest(self) -> None:
        """Ask no more, let everything be told and stored, and check it all."""
        self._asked.set()
        self._asker.join()
        time.sleep(2.5)  # the last windows are closed and sent
        for agent in self._agents.values():
            agent.stop()
        # What the agents closed at their end is sent when they come back.
        for agent in self._agents.values():
            agent.start()
        time.sleep(2.5)
        assert not self._unanswered, f"I1: {len(self._unanswered)} times: {self._unanswered[:5]}"
        for name, agent in self._agents.items():
            self.fleet.wait(lambda a=agent: stored_all(a.state), f"the windows of {name}")
            agent.stop()
            invariants.check_device(agent.state)
            telemetry_db = self.fleet.state / "telemetry.db"
            invariants.check_windows(agent.state, telemetry_db, name, was_removed=name in self.removed)

    # ---- kills -------------------------------------------------------------------------------------------------

    def kill_at(self, point: str, goal: Goal) -> None:
        """Go towards a goal until the controller kills itself at a point, then reach the goal without."""
        self._start(point)
        for _ in self._patiently(f"{point} to be reached"):
            if not self.fleet.controller.running:
                break
            with self._while_it_lives():
                goal()
        assert self.fleet.controller.status == -9, f"{point}: it ended with {self.fleet.controller.status}"
        self._start()
        for _ in self._patiently(f"what was asked for at {point}"):
            if goal():
                break
        self._check_acknowledged()

    def _start(self, failpoint: str | None = None) -> None:
        fleet = self.fleet
        fleet.controller.kill()
        where = fleet.state / "controller.json"
        where.unlink(missing_ok=True)
        fleet.controller.start(**({"EDGEFLEET_FAILPOINT": failpoint} if failpoint else {}))
        for _ in self._patiently("the controller"):
            if not fleet.controller.running:
                return
            if where.exists():
                break
        fleet.api.close()
        fleet.api = PlainClient(json.loads(where.read_text())["api"])
        with self._while_it_lives():
            fleet.api.wait_until_up(30)

    @contextlib.contextmanager
    def _while_it_lives(self) -> Iterator[None]:
        """A controller that is killed answers nobody; while it lives it refuses nothing of ours."""
        try:
            yield
        except ApiError as error:
            time.sleep(0.5)
            if error.status is not None or self.fleet.controller.running:
                raise

    def _patiently(self, what: str) -> Iterator[None]:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            yield
            time.sleep(POLL_S)
        raise AssertionError(f"{PATIENCE_S} s in vain for {what}\n{self.fleet.logs()[-6000:]}")

    # ---- what is asked of it -----------------------------------------------------------------------------------

    def write(self) -> None:
        """Write something that must be there from its acknowledgement on."""
        self._written += 1
        name = f"s{self._written}"
        self.fleet.api.put(f"/segments/{name}", selector="region=eu")
        self.acknowledged.append((f"/segments/{name}", name))

    def _check_acknowledged(self) -> None:
        for path, name in self.acknowledged:
            try:
                self.fleet.api.get(path)
            except ApiError as error:
                raise AssertionError(f"I7: {name} was acknowledged: {error}") from None
        self.acknowledged = self.acknowledged[-50:]

    def open_rollout(self, **fields: Any) -> dict[str, Any]:
        """The rollout under way; a new one, of the other version, when there is none."""
        if self.rollout is None:
            found = [r for r in self.fleet.api.items("/rollouts") if r["state"] in OPEN]
            self.rollout = found[0]["id"] if found else self._begin(**fields)
        return self.fleet.rollout(self.rollout)

    def _begin(self, **fields: Any) -> str:
        self._version = 3 - self._version
        started = self.fleet.roll_out(version=self._version, **fields)
        self.acknowledged.append((f"/rollouts/{started}", started))
        return started

    def ended(self, rollout: dict[str, Any]) -> bool:
        """Whether a rollout has ended for everyone; then everything is held against the invariants."""
        executions = self.fleet.executions(rollout["id"])
        if rollout["state"] in OPEN or not all(_over(e) for e in executions.values()):
            return False
        invariants.check_rollout(self.fleet.rollout(rollout["id"]), executions)
        if rollout["state"] == "rolled_back":
            self._version = 3 - self._version  # the next one brings again what this one took back
        self.rollout = None
        return True


def everyone_has_it(rollout: dict[str, Any]) -> bool:
    """Whether all devices of a rollout answer with what it brings."""
    return set(rollout["counts"]) <= {"committed", "already_installed"}


def _over(execution: dict[str, Any]) -> bool:
    back = execution["back_generation"] is None or execution["back_phase"] in ENDED
    return back and execution["phase"] in ENDED


def stored_all(state: Path) -> bool:
    """Whether a device's spool is empty."""
    return invariants.waiting_windows(state) == 0


def retained(broker: str, device: str) -> dict[str, Any]:
    """What the broker keeps for a device that comes back; an empty message is one that is being cleared just now."""
    told: list[bytes] = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: told.append(message.payload)
    url = urlsplit(broker)
    client.connect(str(url.hostname), url.port or 1883)
    client.subscribe(topics.desired(device), 1)
    until = time.monotonic() + 5
    while not told and time.monotonic() < until:
        client.loop(0.1)
    client.disconnect()
    return dict(json.loads(told[0])["models"]["fashion"]) if told and told[0] else {}
