"""Telemetry: windows stored and acknowledged a second against a subscriber that only counts; nothing lost by a kill.

Two processes speak for many devices, each window a real sketch of a minute, and keep, send again and forget windows as
an agent's spool does. The subject is a controller process: a window counts once its acknowledgement, which follows the
commit, is back at its sender. The reference is a paho subscriber of the same topics that does nothing but count,
through the same broker, kept as busy by the same senders. Rounds of both alternate.
"""

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from benchmarks import brokers, load
from benchmarks.brokers import Broker
from benchmarks.processes import Controller, quiet, wait
from benchmarks.result import Bar, Result, Row, at_least, at_most
from benchmarks.timing import spread
from edgefleet_contract.devices import AdmissionRecord
from edgefleet_controller.store.sqlite import open_store
from edgefleet_protocol.messages import Facts, ReportedState

SHARE = 0.4
SENDERS = 2
ROUNDS_SHOWN = 2
IN_FLIGHT = 8_000  # of all senders: well below the controller's queue, so that nothing is dropped and sent again
WARM_UP_S, MEASURED_S = 1.5, 4.0
KILLS = 3
AT_FULL_RATE = 5_000
SETTLE_S = 0.5
PROFILES = (("eu", "rpi4", "lte"), ("na", "rpi5", "wifi"), ("jp", "x86-avx2", "ethernet"))
CONTEXT = get_context("spawn")


@dataclass(frozen=True)
class Pattern:
    """How windows come: `devices` of them, `burst` windows of one at once; without a bar it is shown, and no more."""

    name: str
    devices: int
    burst: int
    barred: bool = True


PATTERNS = (
    # After an outage: every spool is full, and a device sends 32 windows for each acknowledgement.
    Pattern("catching up", 2_000, 32),
    # A fleet so large that every window is another device's: as many acknowledgements as windows.
    Pattern("one each", 8_000, 1, barred=False),
)


@dataclass(frozen=True)
class Pace:
    """Windows a second, and the CPU time that the receiving process took for each, in microseconds."""

    windows_s: float
    cpu_us: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of both sides")
    parser.add_argument("--broker", choices=brokers.NAMES, action="append", help="only this one")


def run(options: argparse.Namespace) -> Result:
    """Measure every pattern on every broker."""
    result = Result()
    for name in options.broker or brokers.NAMES:
        if why := brokers.missing(name):
            result.rows.append({"broker": name, "not measured": why})
            result.bars += [at_least(f"{name}: {p.name}: stored to counted", SHARE, None) for p in PATTERNS if p.barred]
            result.bars += _kill_bars(name, None, None, None)
            continue
        with tempfile.TemporaryDirectory(prefix="edgefleet-") as folder, brokers.running(name, Path(folder)) as broker:
            _measure(broker, Path(folder), options.rounds, result)
    return result


def _measure(broker: Broker, folder: Path, rounds: int, result: Result) -> None:
    controller = Controller(folder, "--broker", broker.url, "--tick", "1")
    _admit(controller.state, max(pattern.devices for pattern in PATTERNS))
    counted: dict[str, list[Pace]] = {pattern.name: [] for pattern in PATTERNS}
    stored: dict[str, list[Pace]] = {pattern.name: [] for pattern in PATTERNS}
    for number in range(rounds):
        for pattern in (p for p in PATTERNS if p.barred or number < ROUNDS_SHOWN):
            for side in ("counted", "stored") if number % 2 == 0 else ("stored", "counted"):
                if side == "counted":
                    counted[pattern.name].append(_counted(broker, pattern))
                else:
                    stored[pattern.name].append(_stored(controller, broker, pattern))
                quiet()
    for pattern in PATTERNS:
        row, bar = _compared(broker.name, pattern, stored[pattern.name], counted[pattern.name])
        result.rows.append(row)
        result.bars += [bar] if pattern.barred else []
    row, bars = _killed(controller, broker, PATTERNS[0])
    result.rows.append(row)
    result.bars += bars


def _compared(broker: str, pattern: Pattern, stored: list[Pace], counted: list[Pace]) -> tuple[Row, Bar]:
    ratios = [s.windows_s / c.windows_s for s, c in zip(stored, counted, strict=True)]
    row = {
        "broker": broker,
        "pattern": pattern.name,
        "devices": pattern.devices,
        "stored a second": statistics.median(pace.windows_s for pace in stored),
        "counted a second": statistics.median(pace.windows_s for pace in counted),
        "ratio": spread(ratios),
        "CPU us stored": statistics.median(pace.cpu_us for pace in stored),
        "CPU us counted": statistics.median(pace.cpu_us for pace in counted),
        "repeats": {
            "stored": [asdict(pace) for pace in stored],
            "counted": [asdict(pace) for pace in counted],
            "ratios": ratios,
        },
    }
    return row, at_least(f"{broker}: {pattern.name}: stored to counted", SHARE, statistics.median(ratios))


def _kill_bars(broker: str, lost: int | None, missing: int | None, extra: int | None) -> list[Bar]:
    return [
        at_most(f"{broker}: killed: acknowledged windows that are not stored", 0, lost),
        at_most(f"{broker}: killed: windows that never came to be stored", 0, missing),
        at_most(f"{broker}: killed: rows that no device made", 0, extra),
    ]


# ---- the two sides -----------------------------------------------------------------------------------------------


@contextmanager
def _children(parts: list[tuple[Callable[..., None], tuple[Any, ...]]]) -> Iterator[list[Connection]]:
    """Processes that have said "ready", each at the end of a pipe."""
    started = []
    try:
        for target, arguments in parts:
            ours, theirs = CONTEXT.Pipe()
            child = CONTEXT.Process(target=target, args=(arguments[0], theirs, *arguments[1:]), daemon=True)
            child.start()
            theirs.close()
            started.append((child, ours))
        for _, ours in started:
            ours.recv()
        yield [ours for _, ours in started]
    finally:
        for child, _ in started:
            child.join(2)
            child.kill()


def _loads(broker: Broker, pattern: Pattern, in_flight: int) -> list[load.Load]:
    names, life = _names(pattern.devices), str(time.time_ns())
    return [load.Load(broker.port, tuple(names[at::SENDERS]), pattern.burst, in_flight, life) for at in range(SENDERS)]


def _names(count: int) -> list[str]:
    return [f"field-{number:05}" for number in range(count)]


def _counted(broker: Broker, pattern: Pattern) -> Pace:
    """Windows a second that a paho subscriber counts."""
    counted, sent = CONTEXT.RawValue("q", 0), [CONTEXT.RawValue("q", 0) for _ in range(SENDERS)]
    with _children([(load.count, (broker.port, counted))]) as (subscriber,):
        loads = _loads(broker, pattern, IN_FLIGHT)
        with _children([(load.pour, (one, s, sent, counted)) for one, s in zip(loads, sent, strict=True)]) as senders:
            pace = _pace(lambda: int(counted.value), subscriber.recv())
            for sender in senders:
                sender.send("end")
        subscriber.send("end")
    return pace


def _stored(controller: Controller, broker: Broker, pattern: Pattern) -> Pace:
    """Windows a second whose acknowledgements come back; every one must be a row in the end."""
    controller.start()
    try:
        with _senders(broker, pattern) as (senders, acked):
            pace = _pace(acked, controller.pid)
            made = _drained(senders)
    finally:
        controller.stop()
    if (found := sum(_rows(controller.state, senders.life).values())) != sum(made.values()):
        raise RuntimeError(f"{sum(made.values())} windows were made and acknowledged, {found} are stored")
    return pace


@dataclass(frozen=True)
class _Senders:
    pipes: list[Connection]
    life: str

    def ask(self, order: str) -> list[Any]:
        for pipe in self.pipes:
            pipe.send(order)
        return [pipe.recv() for pipe in self.pipes]


@contextmanager
def _senders(broker: Broker, pattern: Pattern) -> Iterator[tuple[_Senders, Callable[[], int]]]:
    loads = _loads(broker, pattern, IN_FLIGHT // SENDERS)
    acked = [CONTEXT.RawValue("q", 0) for _ in loads]
    with _children([(load.publish, part) for part in zip(loads, acked, strict=True)]) as pipes:
        yield _Senders(pipes, loads[0].life), lambda: sum(one.value for one in acked)


def _drained(senders: _Senders) -> dict[str, int]:
    """Make no more windows, wait until all are acknowledged; how many each device made."""
    senders.ask("stop")
    wait(lambda: sum(senders.ask("stop")) == 0, "the last acknowledgements", 120, 0.1)
    return {device: count for made in senders.ask("end") for device, count in made.items()}


def _pace(total: Callable[[], int], pid: int) -> Pace:
    """What `total` gains a second, after a warm-up, and what each costs the process `pid`."""
    process = psutil.Process(pid)
    time.sleep(WARM_UP_S)
    before, cpu_s, began_s = total(), _cpu_s(process), time.perf_counter()
    time.sleep(MEASURED_S)
    windows, seconds = total() - before, time.perf_counter() - began_s
    return Pace(windows / seconds, (_cpu_s(process) - cpu_s) / max(windows, 1) * 1e6)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# ---- the kill ----------------------------------------------------------------------------------------------------


def _killed(controller: Controller, broker: Broker, pattern: Pattern) -> tuple[Row, list[Bar]]:
    """Kill the controller at full rate, look at its file before it starts again, and count once more in the end."""
    lost, at_kills = 0, []
    controller.start()
    try:
        with _senders(broker, pattern) as (senders, acked):
            for _ in range(KILLS):
                before = acked()
                wait(partial(_beyond, acked, before + AT_FULL_RATE), "full rate", 60)
                controller.kill()
                time.sleep(SETTLE_S)  # what the broker still holds reaches the senders
                through = {device: seq for part in senders.ask("through") for device, seq in part.items()}
                lost += _not_stored(controller.state, senders.life, through)
                at_kills.append(sum(senders.ask("waiting")))
                controller.start()
            made = _drained(senders)
    finally:
        controller.stop()
    rows = _rows(controller.state, senders.life)
    missing = sum(max(count - rows.get(device, 0), 0) for device, count in made.items())
    extra = sum(max(count - made.get(device, 0), 0) for device, count in rows.items())
    row = {
        "broker": broker.name,
        "kills at full rate": KILLS,
        "windows made": sum(made.values()),
        "rows": sum(rows.values()),
        "acknowledged, not stored": lost,
        "waiting at kills": at_kills,
    }
    return row, _kill_bars(broker.name, lost, missing, extra)


def _beyond(total: Callable[[], int], limit: int) -> bool:
    return total() > limit


def _not_stored(state: Path, life: str, through: dict[str, int]) -> int:
    """How many windows are acknowledged and have no row."""
    kept = _rows(state, life, through)
    return sum(max(seq - kept.get(device, 0), 0) for device, seq in through.items())


def _rows(state: Path, life: str, through: dict[str, int] | None = None) -> dict[str, int]:
    """Distinct windows of one run by device; with `through`, only those up to the seq that it gives."""
    found: dict[str, int] = {}
    # A copy of the file as it is would be another one: SQLite reads the write-ahead log of a killed writer.
    with closing(sqlite3.connect(state / "telemetry.db")) as db:
        for device, incarnation, seq in db.execute("SELECT device, incarnation, seq FROM windows"):
            told = incarnation == load.incarnation(device, life)
            if told and (through is None or seq <= through.get(device, 0)):
                found[device] = found.get(device, 0) + 1
    return found


def _admit(state: Path, devices: int) -> None:
    """A fleet that has reported already, so that only telemetry is measured."""
    store = open_store(state)
    with store.fleet.transaction():
        for number, device in enumerate(_names(devices)):
            region, hardware, link = PROFILES[number % len(PROFILES)]
            facts = Facts(hardware=hardware, region=region, link=link, arch="aarch64", cores=4, ram_mb=4096)
            said = ReportedState(incarnation="0" * 32, boot=1, report=1, agent_version="1", facts=facts)
            store.fleet.devices.put_report(device, said, 0)
            store.fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=0))
    store.close()
