"""Memory over time: a client that asks and labels as applications do, and the agent's processes beside it."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from benchmarks.processes import Agent

ASKED_A_SECOND = 40
"""A device's last 10,000 answers are full after four minutes."""
LABELLED = 0.5
BATCHED = 0.02
LARGEST_BATCH = 64
REQUESTS_A_CONNECTION = 200
SAMPLED_EVERY_S = 5.0
SHAPE = [1, 28, 28]
MB = 2**20


@dataclass(frozen=True)
class AgentMemory:
    """What is resident of the agent's processes, in MB."""

    at_s: float
    supervisor: float
    workers: float

    @property
    def agent(self) -> float:
        """All processes together."""
        return self.supervisor + self.workers


@dataclass(frozen=True)
class Endured:
    """What was asked of an agent, and its memory meanwhile, the first sample from before."""

    requests: int
    labels: int
    memory: list[AgentMemory]


def weigh(agent: Agent, began_s: float) -> AgentMemory:
    """The memory of the agent's processes now, `began_s` being when the run began."""
    supervisor, *workers = [process.memory_info().rss / MB for process in agent.family()]
    return AgentMemory(time.monotonic() - began_s, supervisor, sum(workers))


def endure(agent: Agent, minutes: float) -> Endured:
    """Ask and label for some minutes, and weigh the agent every few seconds."""
    began_s = time.monotonic()
    memory, requests, labels = [weigh(agent, began_s)], 0, 0
    for labelled in _paced(_application(agent), began_s, minutes * 60):
        requests, labels = requests + 1, labels + labelled
        if time.monotonic() - began_s - memory[-1].at_s >= SAMPLED_EVERY_S:
            memory.append(weigh(agent, began_s))
    return Endured(requests, labels, [*memory, weigh(agent, began_s)])


def _paced(requests: Iterator[bool], began_s: float, seconds: float) -> Iterator[bool]:
    for number, labelled in enumerate(requests):
        yield labelled
        ahead_s = began_s + (number + 1) / ASKED_A_SECOND - time.monotonic()
        if time.monotonic() - began_s >= seconds:
            return
        time.sleep(max(ahead_s, 0))


def _application(agent: Agent) -> Iterator[bool]:
    """Requests without an end, now and then a batch; whether each had a label."""
    rng = random.Random(11)
    while True:
        with closing(HTTPConnection(agent.endpoint.removeprefix("http://"), timeout=30)) as connection:
            for _ in range(REQUESTS_A_CONNECTION):
                rows = rng.randint(2, LARGEST_BATCH) if rng.random() < BATCHED else 1
                values = [rng.randrange(256)] * (28 * 28 * rows)
                tensor = {"name": "image", "datatype": "UINT8", "shape": [rows, *SHAPE], "data": values}
                answer = _ask(connection, "/v2/models/fashion/infer", {"inputs": [tensor]})
                labelled = rng.random() < LABELLED
                if labelled:
                    told = {"model": "fashion", "id": answer["id"], "labels": [rng.randrange(10) for _ in range(rows)]}
                    _ask(connection, "/edgefleet/v1/feedback", told)
                yield labelled


def _ask(connection: HTTPConnection, path: str, body: Any) -> Any:
    connection.request("POST", path, json.dumps(body))
    answer = connection.getresponse()
    told = json.loads(answer.read())
    if answer.status != 200:
        raise RuntimeError(f"the agent answers {answer.status}: {told}")
    return told
