"""The agent beside bare onnxruntime: what a request costs more, memory at first and in the end, start to first answer.

A real controller compresses the example and rolls three variants out to one real agent. Then the same model is asked in
process (the supervisor's `Worker`, as the endpoint asks it) and over the endpoint (JSON, one keep-alive connection),
each against a bare onnxruntime session with the same options in this process: wall time, interleaved by round.
Memory is weighed after the switches, and again after half an hour of requests, labels and reports.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.endurance import endure
from benchmarks.processes import EXAMPLE, Agent, Controller, example, wait
from benchmarks.result import Result, at_most
from benchmarks.timing import Comparison, compare, spread
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_protocol.manifest import Manifest

PROFILE = "eu/x86-avx2/ethernet"
RECIPES = ("fp32", "w8", "int8")
SWITCHES = 3  # the first installs one; then the second, the third, and the first again
SHAPE = [1, 1, 28, 28]
IN_PROCESS_US, OVER_HTTP_US = 200.0, 2200.0
SUPERVISOR_MB, AGENT_MB = 45.0, 120.0
FIRST_ANSWER_S = 1.5
ASKED = 300
MB = 2**20

AskOnce = Callable[[], object]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--rounds", type=int, default=30, help="interleaved rounds of both sides, at least 20")
    parser.add_argument("--calls", type=int, default=200, help="calls of each side in a round")
    parser.add_argument("--minutes", type=float, default=30, help="of requests, before memory is weighed again")
    parser.add_argument("--restarts", type=int, default=7, help="how often start to first answer is measured")


def run(options: argparse.Namespace) -> Result:
    """Measure latency, memory and start."""
    with tempfile.TemporaryDirectory(prefix="edgefleet-agent-") as folder:
        controller = Controller(Path(folder))
        controller.start()
        agent = Agent(Path(folder), "bench-1", PROFILE, controller.broker_url)
        try:
            _build(controller, Path(folder))
            agent.start()
            wait(lambda: list(controller.api.devices.all()), "the agent to report")
            result = _measure(controller, agent, options)
        finally:
            agent.stop()
            controller.stop()
    return result


def _build(controller: Controller, folder: Path) -> None:
    for version, recipe in enumerate(RECIPES, 1):
        controller.build(EXAMPLE if version == 1 else example(folder / f"v{version}", version), PROFILE, recipe)


def _measure(controller: Controller, agent: Agent, options: argparse.Namespace) -> Result:
    result = Result()
    for version in (*range(1, len(RECIPES) + 1), 1):
        controller.roll_out(version, agent.id)
        _ask_often(agent)
    _memory(agent, result)
    _memory_in_the_end(agent, options.minutes, result)
    _latency(agent, options, result)
    _restarts(agent, options.restarts, result)
    return result


# ---- latency -----------------------------------------------------------------------------------------------------


def _latency(agent: Agent, options: argparse.Namespace, result: Result) -> None:
    path, manifest = _slot(agent)
    spec = WorkerSpec(path, dict(manifest.core.runtime))
    values = [random.Random(3).randrange(256) for _ in range(28 * 28)]
    bare = _bare(spec, values)
    worker = Worker(spec)
    try:
        in_process = _compare(_in_process(worker, values), bare, options)
    finally:
        worker.kill()
    with closing(_connect(agent)) as connection:
        over_http = _compare(_over_http(connection, values), bare, options)
    _report("in process", in_process, IN_PROCESS_US, result)
    _report("over HTTP, JSON", over_http, OVER_HTTP_US, result)


def _compare(subject: AskOnce, bare: AskOnce, options: argparse.Namespace) -> Comparison:
    return compare(subject, bare, clock="wall", rounds=max(20, options.rounds), calls=options.calls)


def _report(way: str, found: Comparison, limit_us: float, result: Result) -> None:
    more_us = statistics.median(found.differences_us)
    result.rows.append(
        {
            "way": way,
            "p50 us": statistics.median(found.subject_us),
            "bare p50 us": statistics.median(found.reference_us),
            "more us": spread(found.differences_us),
            "ratio": spread(found.ratios),
            "A/A": found.aa,
            "repeats": {
                "subject_us": found.subject_us,
                "reference_us": found.reference_us,
                "control_us": found.control_us,
            },
        }
    )
    result.bars.append(at_most(f"{way}: more than bare onnxruntime at p50, us", limit_us, more_us))
    result.void = result.void or found.void


def _slot(agent: Agent) -> tuple[Path, Manifest]:
    """The file that answers, and its manifest, from the agent's own disk."""
    live = json.loads(_get(agent, "/edgefleet/v1/status"))["models"]["fashion"]["answering"]
    slot = agent.state / "slots" / live["variant"]
    return slot / "model.onnx", Manifest.model_validate_json((slot / "manifest.json").read_bytes())


def _bare(spec: WorkerSpec, values: list[int]) -> AskOnce:
    """A session with the worker's options, asked as an application would that has onnxruntime itself."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = spec.threads, 1
    for key, value in spec.runtime.items():
        options.add_session_config_entry(key, value)
    session = ort.InferenceSession(str(spec.path), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.asarray(values, np.uint8).reshape(SHAPE)}
    return lambda: session.run(None, feed)


def _in_process(worker: Worker, values: list[int]) -> AskOnce:
    data = bytes(values)
    tensors = [{"name": worker.signature.inputs[0].name, "datatype": "UINT8", "shape": SHAPE}]
    return lambda: worker.ask(tensors, data)


# ---- the endpoint ------------------------------------------------------------------------------------------------


def _connect(agent: Agent) -> HTTPConnection:
    return HTTPConnection(agent.endpoint.removeprefix("http://"), timeout=10)


def _get(agent: Agent, path: str) -> bytes:
    with closing(_connect(agent)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read()


def _over_http(connection: HTTPConnection, values: list[int]) -> AskOnce:
    """Values to text and text to values as a client does it, each time."""

    def ask() -> Any:
        body = {"inputs": [{"name": "image", "datatype": "UINT8", "shape": SHAPE, "data": values}]}
        connection.request("POST", "/v2/models/fashion/infer", json.dumps(body))
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"the agent answers {answer.status}: {told}")
        return told

    return ask


def _ask_often(agent: Agent) -> None:
    with closing(_connect(agent)) as connection:
        ask = _over_http(connection, [128] * 28 * 28)
        for _ in range(ASKED):
            ask()


# ---- memory and start --------------------------------------------------------------------------------------------


def _memory(agent: Agent, result: Result) -> None:
    # The old variant's worker is retired after the commit.
    wait(lambda: len(agent.family()) == 2, "the last switch to end", 30)
    supervisor, *workers = [process.memory_full_info() for process in agent.family()]
    whole = [supervisor, *workers]
    result.rows.append(
        {
            "switches": SWITCHES,
            "processes": len(whole),
            "supervisor RSS MB": supervisor.rss / MB,
            "workers RSS MB": sum(worker.rss for worker in workers) / MB,
            "agent RSS MB": sum(process.rss for process in whole) / MB,
            "agent PSS MB": sum(process.pss for process in whole) / MB,
        }
    )
    result.bars.append(at_most("supervisor RSS, MB", SUPERVISOR_MB, supervisor.rss / MB))
    result.bars.append(at_most("whole agent RSS, MB", AGENT_MB, sum(process.rss for process in whole) / MB))


def _memory_in_the_end(agent: Agent, minutes: float, result: Result) -> None:
    found = endure(agent, minutes)
    first, last = found.memory[0], found.memory[-1]
    result.rows.append(
        {
            "minutes": minutes,
            "requests": found.requests,
            "labels": found.labels,
            "supervisor RSS MB": f"{first.supervisor:.1f} -> {last.supervisor:.1f}",
            "workers RSS MB": f"{first.workers:.1f} -> {last.workers:.1f}",
            "agent RSS MB": f"{first.agent:.1f} -> {last.agent:.1f}",
            "repeats": [asdict(one) for one in found.memory],
        }
    )
    after = f"after {minutes:g} minutes, MB"
    result.bars.append(at_most(f"supervisor RSS {after}", SUPERVISOR_MB, max(one.supervisor for one in found.memory)))
    result.bars.append(at_most(f"whole agent RSS {after}", AGENT_MB, max(one.agent for one in found.memory)))


def _restarts(agent: Agent, count: int, result: Result) -> None:
    """From the start of the process to the first answer of the committed variant."""
    times = []
    for _ in range(max(5, count)):
        agent.stop()
        began_s = time.perf_counter()
        agent.start()
        wait(lambda: _answers(agent), "the first answer", 30, 0.005)
        times.append(time.perf_counter() - began_s)
    result.rows.append(
        {
            "start to first answer s": spread(times),
            "restarts": len(times),
            "repeats": times,
        }
    )
    result.bars.append(at_most("start to first answer, s", FIRST_ANSWER_S, statistics.median(times)))


def _answers(agent: Agent) -> bool:
    with closing(_connect(agent)) as connection:
        try:
            _over_http(connection, [128] * 28 * 28)()
        except (OSError, RuntimeError):
            return False
    return True
