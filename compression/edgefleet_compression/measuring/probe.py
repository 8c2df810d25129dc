"""Latency and memory of an ONNX file, taken in a process that holds onnxruntime and nothing else.

    python -m edgefleet_compression.measuring.probe '{"path": ..., "shape": [1, 28, 28], "runs": 300, "runtime": {}}'

The last line of its output is JSON. Measured in a worker, torch's threads and memory would be in the figures.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from edgefleet_compression.onnx_graphs.session import GraphSession

WARM_UP = 30
# A tiny network's runs all fit into one hiccup of a busy host: time on until the figure is one of calm and storm.
LEAST_S = 0.5
# A large network need not run 300 times to be known: this long, and so often at least.
MOST_S = 10.0
LEAST_RUNS = 20
ROUNDS, LEAST_ROUNDS = 20, 5
ROUND_CALLS, ROUND_WARM_UP = 20, 3


def probe(path: Path, shape: tuple[int, ...], runs: int, runtime: dict[str, str]) -> dict[str, Any]:
    """Load and run a file.

    Args:
        path: the ONNX file.
        shape: one input, without the batch.
        runs: how many inferences of batch 1 to time, at least.
        runtime: session configuration entries.

    Returns:
        p50_ms and p95_ms of one inference, wall time; peak_rss_mb, the growth of resident memory.
    """
    x = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    process = psutil.Process()
    before = process.memory_info().rss
    session = GraphSession(path, runtime)
    if session.dtype == np.uint8:
        x *= 255
    began_s = time.perf_counter()
    for _ in range(WARM_UP):
        session.run(x)
        if time.perf_counter() - began_s > MOST_S:
            break
    times_ns: list[int] = []
    while not _enough(times_ns, runs):
        started = time.perf_counter_ns()
        session.run(x)
        times_ns.append(time.perf_counter_ns() - started)
    grown = process.memory_info().rss - before
    p50, p95 = np.percentile(times_ns, [50, 95]) / 1e6
    return {"p50_ms": round(p50, 4), "p95_ms": round(p95, 4), "peak_rss_mb": round(grown / 2**20, 2)}


def ratio(path: Path, reference: Path, shape: tuple[int, ...], runtime: dict[str, str]) -> float:
    """CPU time of one inference of `path` by that of `reference`: the median over interleaved rounds.

    A round's figure is the tenth percentile of the calls of each side: what a busy host does to the others is left
    out. onnxruntime runs in the calling thread, whose CPU time is taken.
    """
    sessions: list[tuple[GraphSession, list[float]]] = [
        (GraphSession(path, runtime), []),
        (GraphSession(reference), []),
    ]
    x = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    ratios: list[float] = []
    began_s = time.perf_counter()
    for _ in range(ROUNDS):
        for session, tenths in sessions:
            tenths.append(_tenth(session, x * 255 if session.dtype == np.uint8 else x))
        ratios.append(sessions[0][1][-1] / sessions[1][1][-1])
        if len(ratios) >= LEAST_ROUNDS and time.perf_counter() - began_s > MOST_S:
            break
    return round(float(np.median(ratios)), 4)


def _tenth(session: GraphSession, x: NDArray[np.float32]) -> float:
    times_ns = []
    for call in range(ROUND_CALLS + ROUND_WARM_UP):
        started = time.thread_time_ns()
        session.run(x)
        if call >= ROUND_WARM_UP:
            times_ns.append(time.thread_time_ns() - started)
    return float(np.percentile(times_ns, 10))


def _enough(times_ns: list[int], runs: int) -> bool:
    total_s = sum(times_ns) / 1e9
    return (len(times_ns) >= runs and total_s >= LEAST_S) or (len(times_ns) >= LEAST_RUNS and total_s > MOST_S)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    shape = tuple(given["shape"])
    figures = probe(Path(given["path"]), shape, given["runs"], given["runtime"])
    if reference := given.get("reference"):
        figures["latency_ratio"] = ratio(Path(given["path"]), Path(reference), shape, given["runtime"])
    print(json.dumps(figures))
