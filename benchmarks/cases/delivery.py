"""5 MB to 50 listeners: bytes that the controller sends, and wall time beside `mosquitto_pub -f` and HTTP downloads.

A real controller sends a blob that cannot be compressed; each listener is a process with the agent's own bus, fetcher
and sink, which checks every chunk and the whole. Beside it, in turns: one `mosquitto_pub -f` of the same bytes to 50
`mosquitto_sub` through the same broker, each of which writes a file and runs `sha256sum` on it; and 50 downloads by the
same listener processes over HTTP from uvicorn. Files lie in memory where they can: fifty devices do not share a disk.
The channel is that of a line of 1 Gbit/s.
"""

import argparse
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import which
from typing import Any

import psutil

from benchmarks import brokers
from benchmarks.brokers import Broker, free_port
from benchmarks.environment import memory_folder
from benchmarks.listening import Fetched, WantedBlob, listen
from benchmarks.processes import Controller, wait
from benchmarks.result import Result, Row, at_most
from benchmarks.serving import relay, serve_files
from benchmarks.timing import spread
from edgefleet_contract.devices import AdmissionRecord
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.store.sqlite import open_store
from edgefleet_protocol.chunks import hash_list
from edgefleet_protocol.messages import Facts, ReportedState

SIZE_BYTES = 5_000_000
CHUNK_BYTES = 48 * 1024
CHANNEL, CHANNEL_KBPS = "gigabit", 1_000_000
LINK = f"""title = "a line of 1 Gbit/s"
down_kbps = {CHANNEL_KBPS}
rtt_ms = 1
loss = 0.0
usd_per_mb = 0.0
joule_per_mb = 0.03
metered = false

[sources]
down_kbps = "estimate: made for this benchmark, so that the channel's pace is no limit"
rtt_ms = "estimate: made for this benchmark"
loss = "estimate: made for this benchmark"
usd_per_mb = "estimate: made for this benchmark"
joule_per_mb = "estimate: made for this benchmark"
"""
SENT, TO_MOSQUITTO_PUB, TO_HTTP = 1.05, 1.5, 1.0
TOPIC, READY = "bench/blob", "bench/ready"
MARK = "ready---"
QUIET_S = 0.3
CLIENTS = f"mosquitto_pub is not installed ({brokers.HOW['mosquitto']})"
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["benchmarks.listening"])


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=11, help="interleaved rounds of all sides, at least 5")
    parser.add_argument("--listeners", type=int, default=50, help="how many listen")
    parser.add_argument("--broker", choices=brokers.NAMES, action="append", help="only this one")


def run(options: argparse.Namespace) -> Result:
    """Measure on every broker."""
    result = Result()
    for name in options.broker or brokers.NAMES:
        if why := brokers.missing(name):
            result.rows.append({"broker": name, "not measured": why})
            result.bars += [at_most(f"{name}: {bar}", limit, None) for bar, limit in _BARS.items()]
            continue
        with tempfile.TemporaryDirectory(prefix="edgefleet-", dir=memory_folder()) as folder:
            _measure(name, Path(folder), options, result)
    return result


_BARS = {
    "controller bytes to blob": SENT,
    "wall time to mosquitto_pub": TO_MOSQUITTO_PUB,
    "wall time to HTTP": TO_HTTP,
}


@dataclass
class _Round:
    """One round: seconds until the last listener had verified its file, and what the controller sent."""

    ours_s: float = 0.0
    mosquitto_s: float | None = None
    http_s: float = 0.0
    ours_cpu_s: float = 0.0
    http_cpu_s: float = 0.0
    sent_bytes: int = 0
    wants: int = 0


@dataclass
class _Bench:
    broker: Broker
    folder: Path
    listeners: list[Connection]
    upward: Any
    http_port: int
    rounds: list[_Round] = field(default_factory=list)


def _measure(name: str, folder: Path, options: argparse.Namespace, result: Result) -> None:
    blobs = [secrets.token_bytes(SIZE_BYTES) for _ in range(max(5, options.rounds) + 1)]
    with ExitStack() as stack:
        broker = stack.enter_context(brokers.running(name, folder / "broker"))
        bench = _prepare(stack, broker, folder, options.listeners, blobs)
        _round(bench, blobs[0], 0)  # warms up
        for number, blob in enumerate(blobs[1:]):
            bench.rounds.append(_round(bench, blob, number))
    row, shares = _row(name, options.listeners, bench.rounds)
    if not which("mosquitto_pub"):
        row["not measured"] = CLIENTS
    result.rows.append(row)
    result.bars += [at_most(f"{name}: {bar}", limit, shares[bar]) for bar, limit in _BARS.items()]


def _row(name: str, listeners: int, rounds: list[_Round]) -> tuple[Row, dict[str, float | None]]:
    sent = [one.sent_bytes / SIZE_BYTES for one in rounds]
    to_pub = [one.ours_s / one.mosquitto_s for one in rounds if one.mosquitto_s]
    to_http = [one.ours_s / one.http_s for one in rounds]
    row = {
        "broker": name,
        "listeners": listeners,
        "blob bytes": SIZE_BYTES,
        "controller bytes to blob": spread(sent),
        "edgefleet s": spread([one.ours_s for one in rounds]),
        "mosquitto_pub s": spread([one.mosquitto_s for one in rounds if one.mosquitto_s] or [float("nan")]),
        "HTTP s": spread([one.http_s for one in rounds]),
        "edgefleet CPU s": statistics.median(one.ours_cpu_s for one in rounds),
        "HTTP CPU s": statistics.median(one.http_cpu_s for one in rounds),
        "to mosquitto_pub": spread(to_pub or [float("nan")]),
        "to HTTP": spread(to_http),
        "repeats": [vars(one) for one in rounds],
    }
    shares = {
        "controller bytes to blob": statistics.median(sent),
        "wall time to mosquitto_pub": statistics.median(to_pub) if to_pub else None,
        "wall time to HTTP": statistics.median(to_http),
    }
    return row, shares


# ---- what takes part ---------------------------------------------------------------------------------------------


def _prepare(stack: ExitStack, broker: Broker, folder: Path, count: int, blobs: list[bytes]) -> _Bench:
    names = [f"listener-{number:02}" for number in range(count)]
    upward, relay_port, http_port = CONTEXT.RawValue("q", 0), free_port(), free_port()
    controller = Controller(folder, "--broker", f"mqtt://127.0.0.1:{relay_port}", "--profiles", str(_catalogue(folder)))
    _publish(controller.state, names, blobs)
    stack.enter_context(_process(relay, relay_port, broker.port, upward))
    controller.start()
    stack.callback(controller.stop)
    web = folder / "web"
    web.mkdir()
    for blob in blobs:
        (web / sha256(blob).hexdigest()).write_bytes(blob)
    stack.enter_context(_process(serve_files, web, http_port))
    listeners = []
    for name in names:
        ours, theirs = CONTEXT.Pipe()
        stack.enter_context(_process(listen, broker.port, name, CHANNEL, CHANNEL_KBPS, folder, theirs))
        listeners.append(ours)
    for listener in listeners:
        listener.recv()
    return _Bench(broker, folder, listeners, upward, http_port)


@contextmanager
def _process(target: Any, *arguments: Any) -> Iterator[None]:
    child = CONTEXT.Process(target=target, args=arguments, daemon=True)
    child.start()
    try:
        yield
    finally:
        child.kill()
        child.join()


def _catalogue(folder: Path) -> Path:
    links = folder / "catalogue" / "link"
    links.mkdir(parents=True)
    (links / f"{CHANNEL}.toml").write_text(LINK)
    return links.parent


def _publish(state: Path, names: list[str], blobs: list[bytes]) -> None:
    """What devices may ask for, and who may ask: each was told of every blob, as if it were a manifest."""
    store, kept = open_store(state), BlobFolder(state / "blobs")
    digests = [kept.put(blob) for blob in blobs]
    for digest, blob in zip(digests, blobs, strict=True):
        store.fleet.registry.put_blob(digest, len(blob), deliverable=True)
    for name in names:
        store.fleet.devices.admit(AdmissionRecord(device=name, accepted_ms=0))
        store.fleet.devices.put_report(name, _report(), 0)
        store.fleet.desired.put(*(_told(name, number, digest) for number, digest in enumerate(digests)))
    store.close()


def _report() -> ReportedState:
    facts = Facts(
        hardware="x86-avx2", region="eu", link=CHANNEL, arch="x86_64", cores=1, ram_mb=1000, onnxruntime="1.31.1"
    )
    return ReportedState(incarnation="0" * 32, boot=1, report=1, agent_version="0.2.0", facts=facts)


def _told(device: str, number: int, digest: str) -> DesiredRecord:
    return DesiredRecord(
        device=device,
        model=f"model-{number}",
        generation=1,
        manifest=digest,
        manifest_bytes=1,
        rollout=None,
        activate=False,
        trial_s=0.0,
    )


# ---- the sides ---------------------------------------------------------------------------------------------------


def _round(bench: _Bench, blob: bytes, number: int) -> _Round:
    found = _Round()
    sides = [_ours, _mosquitto, _http]
    for side in sides if number % 2 == 0 else reversed(sides):
        time.sleep(QUIET_S)
        side(bench, blob, found)
    return found


def _ours(bench: _Bench, blob: bytes, found: _Round) -> None:
    before = bench.upward.value
    name = sha256(blob).hexdigest()
    wanted = WantedBlob(name, len(blob), CHUNK_BYTES, hash_list(blob, CHUNK_BYTES))
    cpu_s = _cpu_s()
    found.ours_s, told = _all(bench, wanted)
    time.sleep(QUIET_S)  # a repair that nobody needs any more would still be sent, and counts
    found.ours_cpu_s = _cpu_s() - cpu_s
    found.sent_bytes, found.wants = bench.upward.value - before, sum(one.wants for one in told)


def _http(bench: _Bench, blob: bytes, found: _Round) -> None:
    name = sha256(blob).hexdigest()
    cpu_s = _cpu_s()
    found.http_s, _ = _all(bench, WantedBlob(name, len(blob), CHUNK_BYTES, b"", bench.http_port))
    found.http_cpu_s = _cpu_s() - cpu_s


def _cpu_s() -> float:
    """CPU time of everything that takes part: broker, controller, relay, HTTP server and listeners."""
    everyone = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return float(sum(times.user + times.system for times in everyone))


def _all(bench: _Bench, wanted: WantedBlob) -> tuple[float, list[Fetched]]:
    """Seconds until the last listener has the right bytes."""
    began_s = time.monotonic()
    for listener in bench.listeners:
        listener.send(wanted)
    told: list[Fetched] = [listener.recv() for listener in bench.listeners]
    if not all(one.whole for one in told):
        raise RuntimeError("a listener has other bytes than the blob's")
    return max(one.at_s for one in told) - began_s, told


def _mosquitto(bench: _Bench, blob: bytes, found: _Round) -> None:
    """`mosquitto_pub -f` to as many `mosquitto_sub`, each with `sha256sum` on the file that it wrote."""
    if not which("mosquitto_pub"):
        return
    port = str(bench.broker.port)
    source = bench.folder / "source"
    source.write_bytes(blob)
    # A retained word comes first and says that the subscription stands; it is cut off again.
    subprocess.run(["mosquitto_pub", "-p", port, "-t", READY, "-r", "-q", "1", "-m", MARK], check=True)
    files = [bench.folder / f"sub-{number}" for number in range(len(bench.listeners))]
    line = 'mosquitto_sub -p "$0" -t "$1" -t "$2" -N -C 2 > "$3" && tail -c +"$4" "$3" | sha256sum'
    words = [port, READY, TOPIC]
    ends = [
        subprocess.Popen(["sh", "-c", line, *words, file, str(len(MARK) + 1)], stdout=subprocess.PIPE) for file in files
    ]
    wait(lambda: all(file.exists() and file.stat().st_size == len(MARK) for file in files), "mosquitto_sub to listen")
    time.sleep(QUIET_S)
    began_s = time.monotonic()
    subprocess.run(["mosquitto_pub", "-p", port, "-t", TOPIC, "-f", source], check=True)
    told = [end.communicate(timeout=60)[0].split()[0].decode() for end in ends]
    found.mosquitto_s = time.monotonic() - began_s
    if set(told) != {sha256(blob).hexdigest()}:
        raise RuntimeError("a mosquitto_sub has other bytes than the blob's")
    for file in files:
        file.unlink()
