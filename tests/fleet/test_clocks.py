"""Clocks that are wrong: a device's decides nothing, and the controller's deadlines survive that somebody sets it."""

import functools
import json
import os
import sqlite3
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from tests.fleet.asking import PROFILE, ask
from tests.fleet.conftest import Agent, Fleet

from edgefleet_process.clocks import clock_is_trusted
from edgefleet_protocol.topics import up

pytestmark = pytest.mark.fleet

HOUR_S = 3600
YEAR_S = 365 * 86_400
SLOW = "eu/x86-avx2/lab"


@functools.cache
def faketime() -> str | None:
    """Where the libfaketime of the package of that name is; None where its binary does not work."""
    spec = find_spec("libfaketime")
    if spec is None or spec.origin is None:
        return None
    for found in Path(spec.origin).parent.rglob("libfaketime.so.1"):
        environment = {**os.environ, "LD_PRELOAD": str(found), "FAKETIME": "-10000d", "DONT_FAKE_MONOTONIC": "1"}
        told = subprocess.run(["date", "+%s"], env=environment, capture_output=True, text=True)
        if told.stdout.strip().isdecimal() and time.time() - int(told.stdout) > YEAR_S:
            return str(found)
    return None


@pytest.fixture(autouse=True)
def _faketime() -> None:
    if faketime() is None:
        missing = "libfaketime does not work here (`pip install libfaketime`; its wheel is for x86-64 Linux with glibc)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


class Clock:
    """A wall clock for child processes that is off by as much as one says, at any moment; monotonic time is true."""

    def __init__(self, file: Path, off_s: float = 0) -> None:
        self._file = file
        self.set(off_s)

    def set(self, off_s: float) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(f"{off_s:+.0f}\n")
        part.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": faketime() or "",
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


class Heard:
    """What devices publish, by topic."""

    def __init__(self, broker: str, kind: str, *devices: str) -> None:
        self.said: dict[str, list[dict[str, Any]]] = defaultdict(list)
        topics = {up(device, kind): device for device in devices}
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _u, m: self.said[topics[m.topic]].append(json.loads(m.payload))
        self._client.connect(urlsplit(broker).hostname, urlsplit(broker).port)
        for topic in topics:
            self._client.subscribe(topic)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def background() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Repeats something every 0.3 s until the test ends."""
    ended, threads = threading.Event(), []

    def repeat(work: Callable[[], None]) -> None:
        def run() -> None:
            while not ended.wait(0.3):
                work()

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield repeat
    ended.set()
    for thread in threads:
        thread.join()


class Phases:
    """When each device was first seen in each phase, in seconds of the monotonic clock."""

    def __init__(self, fleet: Fleet, rollout: str) -> None:
        self._fleet, self._rollout = fleet, rollout
        self.first_s: dict[str, dict[str, float]] = defaultdict(dict)

    def look(self) -> bool:
        for device, execution in self._fleet.executions(self._rollout).items():
            self.first_s[device].setdefault(execution["phase"], time.monotonic())
        return self._fleet.rollout(self._rollout)["state"] == "completed"


def windows(fleet: Fleet, device: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(fleet.state / "telemetry.db")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM windows WHERE device = ? ORDER BY seq", [device])]


def requests(fleet: Fleet, device: str) -> int:
    return sum(window["requests"] for window in windows(fleet, device))


@pytest.mark.slow
def test_a_wrong_or_jumping_clock_of_a_device_changes_nothing(fleet: Fleet, tmp_path: Path, background) -> None:
    began_ms = time.time_ns() // 1_000_000
    since_1970_s = began_ms // 1000 - 86_400
    off = {"past": -since_1970_s, "future": 10 * YEAR_S, "jumping": 0}
    clocks = {name: Clock(tmp_path / f"{name}.clock", by) for name, by in off.items()}
    heard = Heard(fleet.broker, "telemetry", *off)
    agents: dict[str, Agent] = {
        name: fleet.add_agent(name, SLOW if name == "jumping" else PROFILE, **clocks[name].environment) for name in off
    }
    # A round of them lasts 2.1 s, so that the two ends of a trial of 3 s fall on different days.
    leaps = [10 * YEAR_S, -since_1970_s, -HOUR_S, 0, 2 * YEAR_S, 3 * YEAR_S, 5 * YEAR_S]

    def leap() -> None:
        leaps.append(leaps.pop(0))
        clocks["jumping"].set(leaps[0])

    background(leap)
    rollout = fleet.roll_out(timers={"trial_s": 3, "silent_s": 60})
    phases = Phases(fleet, rollout)
    fleet.wait(phases.look, "the rollout", 120)
    assert fleet.rollout(rollout)["counts"] == {"committed": 3}
    assert all(entry["ms"] < 365 * 86_400_000 for entry in agents["past"].journal), "its clock is in 1970"
    assert all(entry["ms"] > began_ms + 9 * YEAR_S * 1000 for entry in agents["future"].journal)
    assert len({entry["ms"] // 86_400_000 for entry in agents["jumping"].journal}) > 1, "its days leap"
    for name, agent in agents.items():
        first_s = phases.first_s[name]
        assert first_s["committed"] - first_s["trial"] > 1.5, f"the trial of {name} lasts its time"
        endpoint = (agent.state / "endpoint").read_text()
        for _ in range(10):
            assert ask(endpoint, np.zeros((28, 28)))[0] == 200
            time.sleep(0.1)
    fleet.wait(lambda: all(requests(fleet, name) == 10 for name in off), "their windows")
    ended_ms = time.time_ns() // 1_000_000 + 1000
    for name in off:
        for window in windows(fleet, name):
            assert began_ms <= window["at_ms"] <= ended_ms, "placed by a clock that can be right"
            assert began_ms <= window["received_ms"] <= ended_ms
            assert 0 <= window["duration_ms"] < 60_000
        device = fleet.device(name)
        ended_ms = time.time_ns() // 1_000_000 + 1000
        assert began_ms <= device["first_seen_ms"] <= device["last_seen_ms"] <= ended_ms
        [shown] = fleet.api.get("/telemetry", device=name)["items"]
        assert shown["requests"] == 10
        assert 0 < shown["p50_ms"] <= shown["p95_ms"] < 10_000
    hours = fleet.api.get("/telemetry", by="model", bucket="hour")["items"]
    assert sum(hour["requests"] for hour in hours) == 30
    assert all(began_ms - HOUR_S * 1000 <= hour["bucket_ms"] <= ended_ms for hour in hours)
    assert not any(window["clock_trusted"] for window in heard.said["past"]), "no clock is right in 1970"
    assert {window["clock_trusted"] for window in heard.said["future"]} == {clock_is_trusted()}, "as the kernel says"
    heard.close()


@pytest.mark.slow
def test_no_deadline_passes_because_somebody_set_the_controllers_clock(fleet: Fleet, tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    fleet.controller.stop()
    fleet.start_controller(**clock.environment)
    for device in ("a", "b"):
        fleet.add_agent(device, PROFILE)
    began_ms = now_ms(fleet)
    timers = {"trial_s": 4, "silent_s": 30, "unreachable_s": 30, "staging_s": 60, "wave_s": 120}
    gate = {"soak_s": 2, "failure_threshold": 0.0, "success_threshold": 1.0}
    rollout = fleet.roll_out(waves=[0.5, 1.0], timers=timers, gate=gate)
    phases, read = Phases(fleet, rollout), []
    for off_s in (HOUR_S, -HOUR_S, 10 * YEAR_S, 0):
        clock.set(off_s)
        for _ in range(15):
            phases.look()
            read.append(now_ms(fleet))
            time.sleep(0.1)
    assert read == sorted(read)
    clock.set(-HOUR_S)
    fleet.wait(phases.look, "the rollout", 60)
    shown = fleet.rollout(rollout)
    assert shown["counts"] == {"committed": 2}
    assert {phase for seen in phases.first_s.values() for phase in seen}.isdisjoint({"timed_out", "unreachable"})
    times = [began_ms, shown["created_ms"], *(wave["started_ms"] for wave in shown["waves"]), shown["changed_ms"]]
    assert times == sorted(times)
    assert shown["changed_ms"] - began_ms < 120_000, "told in the time that it took"

    before = now_ms(fleet)
    fleet.controller.stop()
    fleet.start_controller(**clock.environment)
    assert now_ms(fleet) >= before - 2000, "a clock that was set back does not repeat an hour"
    assert "behind the store's latest time" in fleet.controller.log(), "it is said"
    again = fleet.roll_out(2, timers=timers, gate=gate)
    fleet.wait(lambda: fleet.rollout(again)["state"] == "completed", "the next rollout", 60)
    assert again > rollout, "ids are in the order of time"


def now_ms(fleet: Fleet) -> int:
    return int(fleet.api.get("/health")["now_ms"])
