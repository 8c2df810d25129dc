"""Measures latency and memory of an ONNX file in a process that holds onnxruntime and nothing else.

    python -m edgefleet_compression.measuring.probe REQUEST

The request and the last line of output are JSON, see probe_request.py. In a worker, torch's threads and memory would
count.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from edgefleet_compression.measuring.probe_request import ProbeFigures, ProbeRequest, request_in
from edgefleet_compression.onnx_graphs.model_session import ModelSession
from edgefleet_compression.samples import Feed
from edgefleet_protocol.execution_providers import CPU

WARM_UP = 30
# All runs of a tiny network fit into one hiccup of a busy host: run on until they average out.
LEAST_S = 0.5
# A large network need not run 300 times: this long, and at least so often.
MOST_S = 4.0
LEAST_RUNS = 20
ROUNDS, LEAST_ROUNDS = 20, 5
ROUND_CALLS, ROUND_WARM_UP = 20, 3
# Nor 20 times in each round: once it has run for so long, at least so often.
ROUND_S = 0.2
LEAST_CALLS, LEAST_WARM_UP = 4, 1
MB = 2**20


def measured_here(request: ProbeRequest) -> ProbeFigures:
    """Load and run a file in this process."""
    figures = _probed(request)
    if request.reference is None:
        return figures
    return replace(figures, latency_ratio=ratio(request, request.reference))


def _probed(request: ProbeRequest) -> ProbeFigures:
    x = sample_in(request)
    process = psutil.Process()
    before = process.memory_info().rss, _status_bytes("VmSize")
    session = ModelSession(request.path, runtime=request.runtime)
    began_s = time.perf_counter()
    for _ in range(WARM_UP):
        session.run(x)
        if time.perf_counter() - began_s > MOST_S:
            break
    clock = _clock(session)
    times_ns: list[int] = []
    began_s = time.perf_counter()
    while not _enough(times_ns, request.runs, time.perf_counter() - began_s):
        # As for the ratio: a busy host would make the slowest of a hundred runs a figure of its own.
        started = clock()
        session.run(x)
        times_ns.append(clock() - started)
    resident = (_status_bytes("VmHWM") or process.memory_info().rss) - before[0]
    address = None if before[1] is None else (_status_bytes("VmPeak") or before[1]) - before[1]
    p50, p95 = np.percentile(times_ns, [50, 95]) / 1e6
    return ProbeFigures(
        round(float(p50), 4),
        round(float(p95), 4),
        round(resident / MB, 2),
        None if address is None else round(address / MB, 2),
    )


def sample_in(request: ProbeRequest) -> Feed:
    """The sample as a session takes it."""
    with np.load(request.sample) as npz:
        arrays = [npz[str(place)] for place in range(len(request.inputs))]
    texts = [x.astype(object) if x.dtype.kind == "U" else x for x in arrays]
    return dict(zip(request.inputs, texts, strict=True))


def _status_bytes(name: str) -> int | None:
    """A line of /proc/self/status, in bytes; None where there is no such file."""
    path = Path("/proc/self/status")
    if not path.exists():
        return None
    return next((int(line.split()[1]) * 1024 for line in path.read_text().splitlines() if line.startswith(name)), None)


def ratio(request: ProbeRequest, reference: Path) -> float:
    """CPU time of one inference divided by that of `reference`: the median over interleaved rounds.

    A round takes the tenth percentile of each side's calls, which leaves out what a busy host does to the others.
    onnxruntime runs in the calling thread, whose CPU time counts.
    """
    sessions: list[tuple[ModelSession, list[float]]] = [
        (ModelSession(request.path, runtime=request.runtime), []),
        (ModelSession(reference), []),
    ]
    x, clock = sample_in(request), _clock(*(session for session, _ in sessions))
    ratios: list[float] = []
    began_s = time.perf_counter()
    for _ in range(ROUNDS):
        for session, tenths in sessions:
            tenths.append(_tenth(session, x, clock))
        ratios.append(sessions[0][1][-1] / sessions[1][1][-1])
        if len(ratios) >= LEAST_ROUNDS and time.perf_counter() - began_s > MOST_S:
            break
    return round(float(np.median(ratios)), 4)


def _clock(*sessions: ModelSession) -> Callable[[], int]:
    """Of nanoseconds: the calling thread's own, unless another provider than the CPU may compute elsewhere."""
    return time.thread_time_ns if all(one.provider == CPU for one in sessions) else time.perf_counter_ns


def _tenth(session: ModelSession, x: Feed, clock: Callable[[], int]) -> float:
    _calls(session, x, clock, LEAST_WARM_UP, ROUND_WARM_UP)
    return float(np.percentile(_calls(session, x, clock, LEAST_CALLS, ROUND_CALLS), 10))


def _calls(session: ModelSession, x: Feed, clock: Callable[[], int], least: int, most: int) -> list[int]:
    """The nanoseconds of so many calls at most, and at least."""
    times_ns: list[int] = []
    while len(times_ns) < least or (len(times_ns) < most and sum(times_ns) / 1e9 < ROUND_S):
        started = clock()
        session.run(x)
        times_ns.append(clock() - started)
    return times_ns


def _enough(times_ns: list[int], runs: int, took_s: float) -> bool:
    total_s = sum(times_ns) / 1e9
    return (len(times_ns) >= runs and total_s >= LEAST_S) or (len(times_ns) >= LEAST_RUNS and took_s > MOST_S)


if __name__ == "__main__":
    print(measured_here(request_in(sys.argv[1])).as_json())
