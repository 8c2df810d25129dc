"""Devices that are killed at a failpoint on their way through a rollout, and started again."""

import http.client
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from tests.conftest import free_port
from tests.fleet import invariants
from tests.fleet.asking import ask
from tests.fleet.conftest import Fleet, Process

from edgefleet_contract.rollouts import BACK
from edgefleet_protocol.phases import ENDED

IMAGE = np.zeros((1, 28, 28))
POLL_S = 0.2
WINDOW_S = 0.5
PATIENCE_S = 150.0


@dataclass(frozen=True)
class Way:
    """How a device comes to a point.

    `begins_with` names the state that it starts from: nothing, version 1, or version 2 with version 1 as the previous
    one. `kills` are points that it is killed at before, `abort` ends the rollout while the device is in its trial,
    `kill_workers` kills its workers there.
    """

    begins_with: str = "first"
    version: int = 2
    link: str = "ethernet"
    trial_s: float = 0.3
    kills: tuple[str, ...] = ()
    abort: bool = False
    kill_workers: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """Of its rollout."""
        gate = {"soak_s": 0.1, "failure_threshold": 0.0, "success_threshold": 1.0}
        return {"gate": gate, "timers": {"trial_s": self.trial_s, "silent_s": 120}}


class Device(Process):
    """An agent on a port of its own, asked all the time."""

    def __init__(self, fleet: Fleet, name: str, way: Way) -> None:
        self.id, self.way, self._fleet = name, way, fleet
        self.state = fleet.folder / name
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        super().__init__(
            fleet.folder / f"{name}.log",
            *("edgefleet_agent", "run", "--state", str(self.state), "--device", name, "--broker", fleet.broker),
            *("--region", "eu", "--link", way.link, "--simulate-hardware", "x86-avx2"),
            *("--catalogue", str(fleet.catalogue), "--http", self.endpoint.removeprefix("http://")),
            *("--heartbeat", "1", "--window", str(WINDOW_S), "--label", f"name={name}"),
        )
        self.rollout: str | None = None
        self._aborted = False
        self.answers: list[tuple[float, int]] = []
        if way.begins_with != "nothing":
            shutil.copytree(fleet.folder / way.begins_with, self.state)

    def boot(self, failpoint: str | None = None) -> None:
        """Start it, to be killed at a failpoint or not."""
        self.answers, self._booted_s = [], time.monotonic()
        self.start(**({"EDGEFLEET_FAILPOINT": failpoint} if failpoint else {}))

    def live(self, seconds: float = PATIENCE_S) -> Iterator[None]:
        """Roll out to it, order and ask what its way says, until nobody wants more; bounded."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.rollout is None and self._fleet.device(self.id):
                fields = {"selector": f"name={self.id}", "version": self.way.version}
                self.rollout = self._fleet.roll_out(**fields, **self.way.fields)
            if self.way.abort and not self._aborted and "trial" in self.phases:
                self._fleet.api.post(f"/rollouts/{self.rollout}/abort", {})
                self._aborted = True
            if self.way.kill_workers and "trial" in self.phases:
                self._kill_workers()
            self._ask()
            yield
            time.sleep(POLL_S)
        raise AssertionError(f"{self.id}: {seconds} s in vain\n{self.told()}\n{self.log()[-3000:]}")

    def _kill_workers(self) -> None:
        with suppress(psutil.NoSuchProcess):
            for worker in psutil.Process(self.pid).children():
                worker.kill()

    def _ask(self) -> None:
        try:
            status = ask(self.endpoint, IMAGE)[0]
        except (OSError, http.client.HTTPException):
            status = 0
        self.answers.append((time.monotonic() - self._booted_s, status))

    @property
    def phases(self) -> list[str]:
        path = self.state / "journal.jsonl"
        return [json.loads(line)["phase"] for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def record(self) -> dict[str, Any]:
        """What its disk says of the model; empty before the first word of it."""
        path = self.state / "state.json"
        return dict(json.loads(path.read_bytes())["models"]["fashion"]) if path.exists() else {}

    @property
    def committed(self) -> bool:
        """Whether its disk says that a variant answers."""
        return bool(self.record.get("answering"))

    @property
    def answered(self) -> bool:
        """Whether it has answered since it was started."""
        return any(status == 200 for _, status in self.answers)

    @property
    def settled(self) -> bool:
        """Whether its rollout has ended, for it too, and it has told so."""
        attempt = self.record.get("attempt", {"phase": "assigned"})
        if attempt["phase"] not in ENDED or self.rollout is None:
            return False
        if self._fleet.rollout(self.rollout)["state"] not in invariants.ENDS:
            return False
        execution = self.execution
        if execution["back_generation"] and execution["back_phase"] not in BACK:
            return False
        told = (self._fleet.device(self.id) or {})["models"]["fashion"]
        same_attempt = all(told["attempt"][field] == attempt[field] for field in ("generation", "phase"))
        return same_attempt and (told["answering"] or {}).get("variant") == self.record.get("answering")

    @property
    def execution(self) -> dict[str, Any]:
        return self._fleet.executions(str(self.rollout))[self.id]

    def told(self) -> str:
        return json.dumps(
            {
                "rollout": self.rollout and self._fleet.rollout(self.rollout)["reason"],
                "execution": self.rollout and self.execution,
                "device": (self._fleet.device(self.id) or {}).get("models"),
                "phases": self.phases,
            },
            indent=1,
        )


def kill_at(fleet: Fleet, name: str, point: str, way: Way) -> None:
    """Bring a device to a point where it kills itself, start it again, and hold everything against the invariants."""
    device = Device(fleet, name, way)
    try:
        for failpoint in (*way.kills, point):
            device.boot(failpoint)
            for _ in device.live():
                if not device.running:
                    break
            assert device.status == -9, f"{name}: {failpoint} was not reached, it ended with {device.status}"
        must_answer = device.committed
        device.boot()
        for _ in device.live():
            if device.settled and (device.answered or not must_answer):
                break
        invariants.check_answers(device.answers, must_answer)
        rest(fleet, device)
        check(fleet, device)
    finally:
        device.kill()


def rest(fleet: Fleet, device: Device) -> None:
    """Let what it measured reach the controller, then end it."""
    time.sleep(2 * WINDOW_S)  # the window of the last question is over by then, and closed before the next report
    since_ms = fleet.api.get("/health")["now_ms"]
    fleet.wait(lambda: (fleet.device(device.id) or {})["last_seen_ms"] > since_ms, f"one more report of {device.id}")
    fleet.wait(lambda: invariants.waiting_windows(device.state) == 0, f"the windows of {device.id}")
    device.stop()


def check(fleet: Fleet, device: Device) -> None:
    """Everything that must hold of one device and its rollout."""
    executions = fleet.executions(str(device.rollout))
    invariants.check_rollout(fleet.rollout(str(device.rollout)), executions)
    invariants.check_same_word(executions[device.id], fleet.device(device.id) or {}, device.state)
    invariants.check_device(device.state)
    invariants.check_windows(device.state, fleet.state / "telemetry.db", device.id)
