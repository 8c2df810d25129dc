"""The real controller and the real agent, each a process of its own, as an operator starts them."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from edgefleet_contract.announcement import ANNOUNCED_IN, Announcement
from edgefleet_contract.operations import BuildResult
from edgefleet_contract.rollouts import Gate, RolloutSpec, Timers
from edgefleet_operator.client import Client
from edgefleet_process.children import run_module

EXAMPLE = Path(__file__).parents[1] / "examples" / "fashion"
BUILT_WITHIN_S = 1800.0
"""Of a build on a machine that others use too: a benchmark that ends before it measured is lost."""
T = TypeVar("T")


def wait(condition: Callable[[], T | None], what: str, seconds: float = 60.0, poll_s: float = 0.02) -> T:
    """What `condition` gives once that is true.

    Raises:
        TimeoutError: it was not within `seconds`.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(poll_s)
    raise TimeoutError(f"waited {seconds:g} s in vain for {what}")


class Child:
    """A process that can be killed and started again; what it says goes to a log."""

    def __init__(self, log: Path, *command: str) -> None:
        self.log = log
        self._command = run_module(*command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise RuntimeError(f"{self._command} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ended(self) -> bool:
        """False while it runs.

        Raises:
            RuntimeError: it has ended; says its last words.
        """
        if self._process and self._process.poll() is not None:
            raise RuntimeError(f"{self._command} ended:\n{self.log.read_text(errors='replace')[-2000:]}")
        return False

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after ten seconds."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def family(self) -> list[psutil.Process]:
        """The process, and its children after it."""
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]


class Controller(Child):
    """A controller that lets every device in; `token` is its API's, where it has one."""

    def __init__(self, folder: Path, *options: str, token: str | None = None) -> None:
        self.state, self._token = folder / "controller", token
        super().__init__(
            folder / "controller.log",
            *("edgefleet_operator", "serve", "--state", str(self.state), "--accept-all"),
            *("--tick", "0.1", "--hello-jitter", "0.1", *options),
        )
        self.api = Client("http://127.0.0.1:1")
        self.broker_url = ""

    def start(self) -> None:
        """Start it and wait until its API answers."""
        told = self.state / ANNOUNCED_IN
        told.unlink(missing_ok=True)
        super().start()
        wait(lambda: told.exists() or self.ended(), "the controller")
        where = Announcement.model_validate_json(told.read_bytes())
        self.api, self.broker_url = Client(where.api, self._token), where.broker
        self.api.wait_until_up(60)

    def stop(self) -> None:
        """As any child; the broker outlives a controller that was killed, and is ended too."""
        super().stop()
        with suppress(OSError, ValueError, psutil.Error):
            broker = psutil.Process(int((self.state / "broker" / "broker.pid").read_text()))
            if str(self.state) in " ".join(broker.cmdline()):
                broker.terminate()

    def build(self, folder: Path, profile: str, recipe: str) -> str:
        """Register a model and build one recipe for one profile; gives the model, as `fashion@1`."""
        model = self.api.models.add(folder).model
        operation = self.api.builds.start(model, profiles=[profile], recipes=[recipe])
        done = self.api.operations.wait(operation.id, timeout_s=BUILT_WITHIN_S)
        if not isinstance(done.result, BuildResult) or done.result.failed:
            raise RuntimeError(f"{recipe} of {model} was not built: {done}")
        return model

    def roll_out(self, version: int, device: str, model: str = "fashion", accept_drop: bool = False) -> None:
        """Roll a version of a model out to everyone, and wait until `device` has committed it."""
        gate = Gate(soak_s=0.2, failure_threshold=0.0, success_threshold=1.0)
        timers = Timers(trial_s=0.5)
        spec = RolloutSpec(model=model, version=version, everyone=True, waves=(1.0,), gate=gate, timers=timers)
        spec = spec.model_copy(update={"accept_drop": accept_drop})
        done = self.api.rollouts.wait(self.api.rollouts.start(spec).id, timeout_s=90)
        if done.state != "completed":
            raise RuntimeError(f"{model}@{version} on {device}: {done}")


class Agent(Child):
    """An agent with a state folder that it keeps."""

    def __init__(self, folder: Path, device: str, profile: str, broker_url: str) -> None:
        self.id, self.state = device, folder / device
        region, hardware, link = profile.split("/")
        super().__init__(
            folder / f"{device}.log",
            *("edgefleet_agent", "run", "--state", str(self.state), "--device", device, "--broker", broker_url),
            *("--region", region, "--link", link, "--simulate-hardware", hardware),
            *("--http", "127.0.0.1:0", "--heartbeat", "1", "--window", "5"),
        )

    def start(self) -> None:
        """Start it, without waiting for anything."""
        (self.state / "endpoint").unlink(missing_ok=True)
        super().start()

    @property
    def endpoint(self) -> str:
        """Where it answers, once it listens."""
        return wait(self._told, f"{self.id} to listen", poll_s=0.005)

    def _told(self) -> str | None:
        path = self.state / "endpoint"
        return path.read_text() if path.exists() else None


def example(folder: Path, version: int) -> Path:
    """The example model under another version; a card and files of its own."""
    shutil.copytree(EXAMPLE, folder)
    card = folder / "model.toml"
    card.write_text(card.read_text().replace("version = 1", f"version = {version}", 1))
    return folder


def quiet() -> None:
    """Leave the machine a moment between two measurements: write back what is dirty."""
    os.sync()
