"""A model of 512 MB from upload to slot: how much memory the controller and the agent take on the way.

A real controller with its embedded broker and one real agent. Memory is what /proc says: before each act the peak is
set back (clear_refs), and after it VmHWM is read; the growth is from the memory before the first act. What the
controller's spawned workers take is sampled, all together.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.processes import BUILT_WITHIN_S, Agent, Child, Controller, wait
from benchmarks.result import Result, Row, at_least, at_most
from edgefleet_contract.operations import BuildResult
from edgefleet_contract.rollouts import Gate, RolloutSpec, Timers

PROFILE = "eu/x86-avx2/ethernet"
CONTROLLER_MB, AGENT_MB = 64, 16
MB = 2**20


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--mb", type=int, default=512, help="size of the model")
    parser.add_argument("--recipes", default="fp32", help="separated by commas; only fp32 must be built")


def run(options: argparse.Namespace) -> Result:
    """Upload, register, build, publish, deliver and install one large model."""
    with tempfile.TemporaryDirectory(prefix="edgefleet-large-") as temporary:
        folder = Path(temporary)
        command = [sys.executable, "-m", "benchmarks.large_model", str(folder), str(options.mb)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        controller = Controller(folder)
        controller.start()
        agent = Agent(folder, "bench-1", PROFILE, controller.broker_url)
        try:
            agent.start()
            wait(lambda: list(controller.api.devices.all()), "the agent to report")
            return _measure(controller, agent, folder, options.recipes.split(","))
        finally:
            agent.stop()
            controller.stop()


def _measure(controller: Controller, agent: Agent, folder: Path, recipes: list[str]) -> Result:
    memory = {"controller": MemoryGrowth(controller), "agent": MemoryGrowth(agent)}
    result = Result()
    with _act("upload and registration", memory, result.rows):
        model = controller.api.models.add_onnx(folder / "large.onnx", folder / "large.npz", "large").model
    with _act("build and publishing", memory, result.rows):
        operation = controller.api.builds.start(model, profiles=[PROFILE], recipes=recipes)
        done = controller.api.operations.wait(operation.id, timeout_s=BUILT_WITHIN_S)
    if not isinstance(done.result, BuildResult) or "fp32" in done.result.failed:
        raise RuntimeError(f"{model} was not built: {done}")
    result.rows += [{"recipe": name, "not built": why} for name, why in done.result.failed.items()]
    with _act("delivery, slot and switch", memory, result.rows):
        timers = Timers(trial_s=1, wave_s=BUILT_WITHIN_S, staging_s=BUILT_WITHIN_S)
        gate = Gate(soak_s=0.2, failure_threshold=0.0, success_threshold=1.0)
        spec = RolloutSpec(model="large", version=1, everyone=True, waves=(1.0,), gate=gate, timers=timers)
        ended = controller.api.rollouts.wait(controller.api.rollouts.start(spec).id, timeout_s=BUILT_WITHIN_S)
    result.bars += [
        at_most("controller's memory, growth in MB", CONTROLLER_MB, memory["controller"].growth_mb),
        at_most("agent's memory, growth in MB", AGENT_MB, memory["agent"].growth_mb),
        at_least("devices that committed", 1, ended.counts.get("committed", 0)),
    ]
    return result


class MemoryGrowth:
    """The memory of one process, without its children."""

    def __init__(self, child: Child) -> None:
        self._child = child
        time.sleep(2)
        self._before_mb = self._status_mb("VmRSS")
        self.growth_mb = 0.0
        self.workers_mb = 0.0

    def begin(self) -> None:
        """Set the peak back to what is taken now."""
        Path(f"/proc/{self._child.pid}/clear_refs").write_text("5")
        self.workers_mb = 0.0

    def end(self) -> float:
        """By how many MB the peak since `begin` is above what was taken before the first act."""
        grown_mb = self._status_mb("VmHWM") - self._before_mb
        self.growth_mb = max(self.growth_mb, grown_mb)
        return grown_mb

    def sample(self) -> None:
        """Look at what its children take together."""
        with suppress(psutil.Error):
            taken = sum(one.memory_info().rss for one in self._child.family()[1:])
            self.workers_mb = max(self.workers_mb, taken / MB)

    def _status_mb(self, name: str) -> float:
        lines = Path(f"/proc/{self._child.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


@contextmanager
def _act(name: str, memory: dict[str, MemoryGrowth], rows: list[Row]) -> Iterator[None]:
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            for one in memory.values():
                one.sample()

    for one in memory.values():
        one.begin()
    watcher, began_s = threading.Thread(target=watch), time.monotonic()
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    row: Row = {"act": name, "s": time.monotonic() - began_s}
    for who, one in memory.items():
        row |= {f"{who}, MB more": one.end(), f"{who}'s children, MB": one.workers_mb}
    rows.append(row)
