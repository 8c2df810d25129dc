"""A real controller with its broker, and real agents, each a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.once import once
from tests.orphans import end_all
from tests.plain import PlainClient

from edgefleet_operator.errors import ApiError

EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion"
LAB_LINK = """title = "a thin line of the lab"
down_kbps = 250
rtt_ms = 1
loss = 0.0
usd_per_mb = 0.0
joule_per_mb = 0.1
metered = false

[sources]
down_kbps = "estimate: made for tests, the fastest line that still takes small chunks"
rtt_ms = "estimate: made for tests"
loss = "estimate: made for tests"
usd_per_mb = "estimate: made for tests"
joule_per_mb = "estimate: made for tests"
"""


class Process:
    """A child that can be killed and started again."""

    def __init__(self, log: Path, *command: str, python: str = sys.executable) -> None:
        self._log = log
        self._command = [python, "-m", *command]
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        # pytest sets and deletes a variable of its own while threads start children, so each is read with care.
        inherited = {name: value for name in list(os.environ) if (value := os.environ.get(name)) is not None}
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=inherited | environment,
            )

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        assert self._child, "it was never started"
        return self._child.pid

    @property
    def status(self) -> int | None:
        return None if self._child is None else self._child.poll()

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        if self._child:
            self._child.kill()
            self._child.wait()

    def stop(self) -> None:
        """SIGTERM, and at most ten seconds."""
        if self._child and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self._command} did not end within ten seconds of SIGTERM") from None

    def log(self) -> str:
        return self._log.read_text(errors="replace")


class Agent(Process):
    """One agent; `phases` is what its journal says."""

    def __init__(
        self,
        folder: Path,
        device: str,
        profile: str,
        broker: str,
        catalogue: Path,
        *options: str,
        python: str = sys.executable,
    ) -> None:
        self.id, self.profile = device, profile
        self.state = folder / device
        region, hardware, link = profile.split("/")
        super().__init__(
            folder / f"{device}.log",
            *("edgefleet_agent", "run", "--state", str(self.state), "--device", device, "--broker", broker),
            *("--region", region, "--link", link, "--simulate-hardware", hardware),
            *("--catalogue", str(catalogue), "--http", "127.0.0.1:0", "--heartbeat", "1", "--window", "1"),
            *options,
            python=python,
        )

    @property
    def journal(self) -> list[dict[str, Any]]:
        path = self.state / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def phases(self, generation: int) -> list[str]:
        return [entry["phase"] for entry in self.journal if entry["generation"] == generation]


class Fleet:
    """The controller, its API, and agents to come."""

    def __init__(self, folder: Path, *options: str, python: str = sys.executable) -> None:
        self.folder = folder
        self.state = folder / "controller"
        self.catalogue = folder / "catalogue"
        (self.catalogue / "link").mkdir(parents=True, exist_ok=True)
        (self.catalogue / "link" / "lab.toml").write_text(LAB_LINK)
        (self.catalogue / "link" / "line.toml").write_text(LAB_LINK.replace("down_kbps = 250", "down_kbps = 600"))
        self.controller = Process(
            folder / "controller.log",
            *("edgefleet_operator", "serve", "--state", str(self.state), "--profiles", str(self.catalogue)),
            *("--tick", "0.1", "--hello-jitter", "0.1", "--accept-all"),
            *options,
            python=python,
        )
        self.agents: list[Agent] = []
        self.api = PlainClient("http://127.0.0.1:1")

    def start_controller(self, **environment: str) -> None:
        (self.state / "controller.json").unlink(missing_ok=True)
        self.controller.start(**environment)
        where = self.wait(lambda: _read(self.state / "controller.json"), "the controller")
        self.broker = where["broker"]
        self.api.close()
        self.api = PlainClient(where["api"])
        self.api.wait_until_up(30)

    def add_agent(
        self, device: str, profile: str, *options: str, python: str = sys.executable, **environment: str
    ) -> Agent:
        agent = Agent(self.folder, device, profile, self.broker, self.catalogue, *options, python=python)
        self.agents.append(agent)
        agent.start(**environment)
        self.wait(lambda: self.device(device), f"{device} to report")
        return agent

    def build(self, folder: Path, profiles: list[str], recipes: list[str]) -> str:
        model = self.api.add_model(folder)["model"]
        operation = self.api.post("/builds", {"model": model, "profiles": profiles, "recipes": recipes})
        self.wait(lambda: self.api.get(f"/operations/{operation['id']}")["state"] != "running", "the build", 120)
        done = self.api.get(f"/operations/{operation['id']}")
        assert done["state"] == "succeeded", done["error"]
        assert not done["result"]["failed"]
        return str(model)

    def roll_out(self, version: int = 1, **fields: Any) -> str:
        spec = {
            "model": "fashion",
            "version": version,
            "waves": [1.0],
            "gate": {"soak_s": 0.5, "failure_threshold": 0.0, "success_threshold": 1.0},
            "timers": {"trial_s": 0.5, "silent_s": 60},
        }
        to = {} if fields.keys() & {"selector", "segment"} else {"everyone": True}
        return str(self.api.post("/rollouts", {**spec, **to, **fields})["id"])

    def rollout(self, rollout: str) -> dict[str, Any]:
        return dict(self.api.get(f"/rollouts/{rollout}"))

    def executions(self, rollout: str) -> dict[str, dict[str, Any]]:
        return {e["device"]: e for e in self.api.items(f"/rollouts/{rollout}/executions")}

    def device(self, device: str) -> dict[str, Any] | None:
        try:
            return dict(self.api.get(f"/devices/{device}"))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def attempt(self, device: str) -> dict[str, Any]:
        """The last attempt that the device has told of."""
        found = self.device(device)
        return ((found or {"models": {}})["models"].get("fashion") or {"attempt": None})["attempt"] or {}

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
        until = time.monotonic() + seconds
        while True:
            if found := condition():
                return found
            assert time.monotonic() < until, f"waited {seconds} s in vain for {what}\n{self.logs()}"
            time.sleep(0.05)

    def logs(self) -> str:
        return "\n".join(f"--- {p}:\n{p.log()[-2000:]}" for p in [self.controller, *self.agents])

    def stop(self) -> None:
        for agent in self.agents:
            agent.kill()
        killed = not self.controller.running
        self.controller.stop()
        self.api.close()
        if killed:
            end_all(self.folder)  # its broker outlives it, for the devices' sake


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _second_version(folder: Path) -> Path:
    """fashion@2: the same weights under another version, so that its int8 is another variant than fashion@1's fp32."""
    shutil.copytree(EXAMPLE, folder)
    card = folder / "model.toml"
    card.write_text(card.read_text().replace("version = 1", "version = 2", 1))
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str, torch_python: str) -> Path:
    """A controller's state with fashion@1 (fp32) and fashion@2 (static int8) built for the lab's profiles."""
    return once(tmp_path_factory, worker_id, "built", partial(_build, python=torch_python)) / "controller"


def _build(folder: Path, python: str) -> None:
    fleet = Fleet(folder, python=python)
    fleet.start_controller()
    try:
        profiles = ["eu/x86-avx2/ethernet", "eu/x86-avx2/lab", "eu/x86-avx2/line", "na/x86-avx2/wifi"]
        fleet.build(EXAMPLE, profiles, ["fp32"])
        fleet.build(_second_version(folder / "second"), profiles, ["int8"])
    finally:
        fleet.stop()


@contextmanager
def running_fleet(built: Path, folder: Path, *options: str) -> Iterator[Fleet]:
    """A running controller that has built everything already, in a folder of its own."""
    ignored = shutil.ignore_patterns("broker", "controller.json", "api.port", "cache", "work")
    shutil.copytree(built, folder / "controller", ignore=ignored)
    running = Fleet(folder, *options)
    running.start_controller()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def fleet(built: Path, tmp_path: Path) -> Iterator[Fleet]:
    """A running controller that has built everything already, with a broker of its own."""
    with running_fleet(built, tmp_path) as running:
        yield running
