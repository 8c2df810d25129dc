"""Latency and memory of an ONNX file, taken in a process that holds onnxruntime and nothing else.

    python -m edgefleet_compression.probe '{"path": ..., "shape": [1, 28, 28], "runs": 300, "runtime": {}}'

The last line of its output is JSON. Measured in a worker, torch's threads and memory would be in the figures.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from edgefleet_compression.session import Session

WARM_UP = 30
# A tiny network's runs all fit into one hiccup of a busy host: time on until the figure is one of calm and storm.
LEAST_S = 0.5
# A large network need not run 300 times to be known: this long, and so often at least.
MOST_S = 10.0
LEAST_RUNS = 20


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
    session = Session(path, runtime)
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


def _enough(times_ns: list[int], runs: int) -> bool:
    total_s = sum(times_ns) / 1e9
    return (len(times_ns) >= runs and total_s >= LEAST_S) or (len(times_ns) >= LEAST_RUNS and total_s > MOST_S)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(probe(Path(given["path"]), tuple(given["shape"]), given["runs"], given["runtime"])))
