"""A rollout over a fleet of 20,000: planning, starting, the conductor's ticks, reports, listings, and memory.

A real controller with its embedded broker, a really built model, and one process that speaks for every device over
MQTT. Ticks are read from the controller's own histogram in `/metrics`, as an operator would.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.processes import EXAMPLE, Controller, wait
from benchmarks.reporting import MODEL, Reporters
from benchmarks.result import Bar, Result, Row, at_most
from edgefleet_operator.client import Client

REGIONS, HARDWARE, LINKS = (
    ("eu", "in", "jp", "na", "sa"),
    ("imx8mp", "rk3588", "rpi4", "rpi5", "x86-avx2"),
    ("ethernet", "wifi", "lte"),
)
SELECTOR = "tier=field,region in (eu,in,jp,na,sa),hardware in (imx8mp,rk3588,rpi4,rpi5,x86-avx2),!quarantined"
PLAN_S, TICK_S, RSS_MB = 1.0, 0.1, 400
HEARTBEAT_S = 60.0
LOOK_EVERY_S = 1.0
AS_SERVED = ("--tick", "1", "--hello-jitter", "2")
"""The times that `edgefleet serve` has by itself."""
MIXED = ("staged", "staged", "staged", "downloading", "downloading", "verified", "notified")


def add_options(parser: argparse.ArgumentParser) -> None:
    """How much of everything."""
    parser.add_argument("--devices", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=20, help="of plans and listings")
    parser.add_argument("--seconds", type=float, default=60, help="how long ticks are watched in each state")
    parser.add_argument("--keep", type=Path, help="a folder for the controller's state and log that stays")


def run(options: argparse.Namespace) -> Result:
    """Everything, in the order in which an operator would do it."""
    with tempfile.TemporaryDirectory(prefix="edgefleet-bench-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        profiles = [f"{r}/{h}/{link}" for r in REGIONS for h in HARDWARE for link in LINKS]
        with _controller(folder) as controller:
            _build(controller.client, profiles)
            fleet = Reporters(controller.broker, options.devices, profiles)
            try:
                return _measure(controller, fleet, options)
            finally:
                fleet.end()


class MeasuredController:
    """The running process: its API, its figures, and its memory at any time."""

    def __init__(self, controller: Controller) -> None:
        self.broker, self.client, self._pid = controller.broker_url, controller.api, controller.pid
        self.http = httpx.Client(base_url=self.client.url, timeout=120)
        self._process = psutil.Process(self._pid)
        self._ended = threading.Event()
        self.rss_mb: list[float] = []
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def close(self) -> None:
        """Stop measuring."""
        self._ended.set()
        self._sampler.join()
        self.client.close()
        self.http.close()

    def _sample(self) -> None:
        while not self._ended.wait(0.1):
            self.rss_mb.append(self._process.memory_info().rss / 2**20)

    @property
    def peak_mb(self) -> float:
        """The most memory that the process ever had: the kernel's word where there is one, else the samples'."""
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
        except OSError:
            return max(self.rss_mb)
        high = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), None)
        return max(self.rss_mb) if high is None else int(high) / 1024

    @property
    def now_mb(self) -> float:
        """The memory just now."""
        return float(self._process.memory_info().rss / 2**20)

    def reports(self) -> int:
        """How many reports were taken so far."""
        return self.client.health().messages.get("reported", 0)

    def dropped(self) -> int:
        """How many messages were dropped because the queue was full, or not stored."""
        counts = self.client.health().messages
        return counts.get("dropped", 0) + counts.get("not_stored", 0)

    def ticks(self) -> tuple[int, float]:
        """How many ticks there were, and their seconds in all."""
        read = {s.name: s.value for f in self._metrics() if f.name == "edgefleet_tick_seconds" for s in f.samples}
        return int(read["edgefleet_tick_seconds_count"]), read["edgefleet_tick_seconds_sum"]

    def _metrics(self) -> Iterator[Any]:
        yield from text_string_to_metric_families(self.http.get("/metrics").text)


@contextmanager
def _controller(folder: Path) -> Iterator[MeasuredController]:
    started = Controller(folder, *AS_SERVED)
    try:
        started.start()
        with closing(MeasuredController(started)) as measured:
            yield measured
    finally:
        started.stop()


def _build(client: Client, profiles: Sequence[str]) -> None:
    model = client.models.add(EXAMPLE).model
    operation = client.builds.start(model, profiles=profiles, recipes=["fp32", "w8"])
    done = client.operations.wait(operation.id, timeout_s=600)
    if done.state != "succeeded":
        raise RuntimeError(f"the build failed: {done.error}")


def _measure(controller: MeasuredController, fleet: Reporters, options: argparse.Namespace) -> Result:
    rows: list[Row] = []
    idle_mb = controller.now_mb
    rows += _rounds(controller, fleet, options.devices)
    plan_s, devices = _plans(controller, options.repeats)
    rows.append(_timed("plan, until the answer is read", plan_s, devices=devices))
    rows += _listings(controller, options.repeats)
    fleet.reach(*MIXED)
    fleet.heartbeats(HEARTBEAT_S)
    rollout, started_s = _start(controller, 2 * options.seconds + options.devices / 200)
    rows.append(_timed("start", [started_s]))
    staging = _stage_all(controller, rollout, options.devices)
    rows.append(_timed("ticks that tell everyone to fetch", staging))
    rows.append(_open(controller, rollout, "staging"))
    quiet = _watch_ticks(controller, options.seconds)
    rows.append(_timed("ticks while it is staged, reports coming in", quiet))
    wait(lambda: _wave(controller, rollout) == "activating", "the wave to activate", 600, poll_s=0.2)
    active = _watch_ticks(controller, options.seconds)
    rows.append(_open(controller, rollout, "activating"))
    rows.append(_timed("ticks while it activates, reports coming in", active))
    rows += _shown(controller, rollout, options.repeats)
    rows.append(_timed("roll back, the order", [_order(controller, rollout, "rollback")]))
    back = _send_back(controller, rollout)
    rows.append(_timed("ticks that send everyone back", back))
    rows.append({"memory": "controller, idle", "MB": idle_mb})
    rows.append({"memory": "controller, at the end", "MB": controller.now_mb})
    rows.append({"memory": "controller, peak", "MB": controller.peak_mb})
    return Result(rows, _bars(plan_s, [*quiet, *active], controller.peak_mb))


def _bars(plan_s: Sequence[float], ticks: Sequence[float], peak_mb: float) -> list[Bar]:
    return [
        at_most("plan of the fleet, median s", PLAN_S, statistics.median(plan_s)),
        at_most("tick with everything open, median s", TICK_S, statistics.median(ticks) if ticks else None),
        at_most("controller RSS, peak MB", RSS_MB, peak_mb),
    ]


def _rounds(controller: MeasuredController, fleet: Reporters, devices: int) -> list[Row]:
    """The first reports of a whole fleet, and then heartbeats that say nothing new."""
    rows = []
    for name in ("first reports of everyone", *["a heartbeat of everyone"] * 3):
        before, dropped = controller.reports(), controller.dropped()
        began = time.perf_counter()
        sent_s = fleet.round()
        took = _settled(controller, before + devices, began)
        stored = controller.reports() - before
        rows.append(
            {
                "reports": name,
                "sent in s": sent_s,
                "stored in s": took,
                "stored": stored,
                "per second": stored / took,
                "dropped": controller.dropped() - dropped,
            }
        )
    return rows


def _settled(controller: MeasuredController, wanted: int, began: float) -> float:
    """Seconds until so many reports were taken, or nothing more came for five seconds."""
    last, since = -1, time.perf_counter()
    while (count := controller.reports()) < wanted:
        now = time.perf_counter()
        if count != last:
            last, since = count, now
        elif now - since > 5:
            return since - began
        time.sleep(0.05)
    return time.perf_counter() - began


def _spec(staging_s: float = 600) -> dict[str, Any]:
    timers = {"staging_s": staging_s, "silent_s": 3600, "trial_s": 3600, "wave_s": 86_400}
    return {"model": MODEL, "version": 1, "selector": SELECTOR, "waves": [1.0], "timers": timers}


def _plans(controller: MeasuredController, repeats: int) -> tuple[list[float], int]:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        answer = controller.http.post("/api/v1/rollouts/plan", json=_spec())
        times.append(time.perf_counter() - began)
        answer.raise_for_status()
    return times, sum(len(wave) for wave in answer.json()["waves"])


def _start(controller: MeasuredController, staging_s: float) -> tuple[str, float]:
    began = time.perf_counter()
    answer = controller.http.post("/api/v1/rollouts", json=_spec(staging_s))
    took = time.perf_counter() - began
    answer.raise_for_status()
    return str(answer.json()["id"]), took


def _order(controller: MeasuredController, rollout: str, verb: str) -> float:
    began = time.perf_counter()
    controller.http.post(f"/api/v1/rollouts/{rollout}/{verb}").raise_for_status()
    return time.perf_counter() - began


def _listings(controller: MeasuredController, repeats: int) -> list[Row]:
    middle = f"field-{10_000:05d}"
    asked = {
        "first page of devices": "/api/v1/devices?limit=100",
        "a page from the middle, with a selector": f"/api/v1/devices?limit=100&cursor={middle}&selector=region%3Deu",
        "one device": "/api/v1/devices/field-00000",
        "metrics": "/metrics",
    }
    return [_timed(name, _gets(controller, path, repeats)) for name, path in asked.items()]


def _shown(controller: MeasuredController, rollout: str, repeats: int) -> list[Row]:
    path = f"/api/v1/rollouts/{rollout}"
    return [
        _timed("rollout show", _gets(controller, path, repeats)),
        _timed("a page of its devices", _gets(controller, f"{path}/executions?limit=100", repeats)),
    ]


def _gets(controller: MeasuredController, path: str, repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        controller.http.get(path).raise_for_status()
        times.append(time.perf_counter() - began)
    return times


def _show(controller: MeasuredController, rollout: str) -> dict[str, Any]:
    answer = controller.http.get(f"/api/v1/rollouts/{rollout}")
    answer.raise_for_status()
    return dict(answer.json())


def _counts(controller: MeasuredController, rollout: str) -> dict[str, int]:
    return dict(_show(controller, rollout)["counts"])


def _wave(controller: MeasuredController, rollout: str) -> str:
    return str(_show(controller, rollout)["waves"][0]["state"])


def _open(controller: MeasuredController, rollout: str, state: str) -> Row:
    counts = _counts(controller, rollout)
    phases = ", ".join(f"{n} {phase}" for phase, n in sorted(counts.items()))
    return {"wave": state, "executions": sum(counts.values()), "phases": phases}


def _stage_all(controller: MeasuredController, rollout: str, devices: int) -> list[float]:
    """The ticks from the start until every device was told and has answered."""
    done = threading.Event()
    times: list[float] = []
    watcher = threading.Thread(target=lambda: times.extend(_tick_times(controller, done)))
    watcher.start()
    try:
        wait(lambda: _counts(controller, rollout).get("assigned", 0) == 0, "everyone to be told", 600, poll_s=1)
    finally:
        done.set()
        watcher.join()
    return times


def _send_back(controller: MeasuredController, rollout: str) -> list[float]:
    done = threading.Event()
    times: list[float] = []
    watcher = threading.Thread(target=lambda: times.extend(_tick_times(controller, done)))
    watcher.start()
    try:
        devices = sum(_counts(controller, rollout).values())
        wait(
            lambda: sum(_show(controller, rollout)["counts_back"].values()) == devices,
            "everyone to be sent back",
            600,
            poll_s=1,
        )
    finally:
        done.set()
        watcher.join()
    return times


def _watch_ticks(controller: MeasuredController, seconds: float) -> list[float]:
    done = threading.Event()
    threading.Timer(seconds, done.set).start()
    return _tick_times(controller, done)


def _tick_times(controller: MeasuredController, done: threading.Event) -> list[float]:
    """Each tick's seconds, from how the histogram's sum grows; where two fell between two looks, their mean."""
    times: list[float] = []
    count, total = controller.ticks()
    while not done.wait(LOOK_EVERY_S):
        now_count, now_total = controller.ticks()
        new = now_count - count
        times += [(now_total - total) / new] * new if new else []
        count, total = now_count, now_total
    return times


def _timed(what: str, times: Sequence[float], **more: Any) -> Row:
    return {
        "what": what,
        "times": len(times),
        "median ms": statistics.median(times) * 1000 if times else float("nan"),
        "worst ms": max(times) * 1000 if times else float("nan"),
        "devices": more.get("devices", ""),
        "all s": [round(t, 5) for t in times],
    }
