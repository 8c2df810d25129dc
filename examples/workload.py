"""An application of the agents: sends labelled samples to each agent, and later the labels.

It knows nothing of fleets: it speaks the Open Inference Protocol (v2, JSON) to the agent on its own machine, asks it
what the model takes, and posts each label to the agent's feedback endpoint. A model that keeps state is sent whole
sequences, step by step. It runs until it is ended (SIGTERM) or has asked `--requests` times.

    python examples/workload.py --data examples/fashion/data.npz --model fashion --endpoint kiosk=http://127.0.0.1:8080
"""

import argparse
import http.client
import json
import signal
import threading
import time
import urllib.parse
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SPLIT = "test"
SCALED = ("FP16", "FP32", "FP64")
ENDS = ("/values", "/lengths", "/shapes")


class Column:
    """One input of all samples, or their labels, as the data file has them: dense, or values with lengths or shapes."""

    def __init__(self, arrays: dict, name: str) -> None:
        self._values = arrays[name if name in arrays else f"{name}/values"]
        self._shapes = arrays.get(f"{name}/shapes")
        lengths = arrays.get(f"{name}/lengths") if self._shapes is None else self._shapes.prod(axis=1)
        self._ends = None if lengths is None else np.cumsum(lengths)

    def __len__(self) -> int:
        return len(self._values if self._ends is None else self._ends)

    def __getitem__(self, place: int):
        if self._ends is None:
            return self._values[place]
        found = self._values[self._ends[place - 1] if place else 0 : self._ends[place]]
        return found if self._shapes is None else found.reshape(self._shapes[place])


class Samples:
    """The samples of a data file's test split, with their labels, if it has any."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as npz:
            arrays = dict(npz)
        bases = dict.fromkeys(name.rsplit("/", 1)[0] if name.endswith(ENDS) else name for name in arrays)
        self._inputs = {base: Column(arrays, base) for base in bases if base.split("/")[0] == f"x_{SPLIT}"}
        self.labels = Column(arrays, f"y_{SPLIT}") if f"y_{SPLIT}" in bases else None

    def __len__(self) -> int:
        return len(next(iter(self._inputs.values())))

    def input(self, name: str, place: int):
        """One sample's array for an input, which need not be named if it is the only one."""
        return self._inputs.get(f"x_{SPLIT}/{name}", self._inputs.get(f"x_{SPLIT}"))[place]

    def label(self, place: int):
        """One sample's label; None if there are none."""
        return None if self.labels is None else self.labels[place]


@dataclass(frozen=True)
class Taken:
    """What a model takes, as its metadata says: the inputs, a factor for samples, and whether it keeps state."""

    inputs: list[dict]
    scale: float
    keeps_state: bool

    def steps(self, samples: Samples, place: int) -> list[dict]:
        """The requests for a sample, without their parameters: one, or one for each step of a sequence."""
        arrays = {one["name"]: samples.input(one["name"], place) for one in self.inputs}
        if not self.keeps_state:
            return [self._request(arrays)]
        stepped = [one["name"] for one in self.inputs if arrays[one["name"]].ndim >= len(one["shape"])]
        count = min(len(arrays[name]) for name in stepped)
        return [
            self._request({name: array[step] if name in stepped else array for name, array in arrays.items()})
            for step in range(count)
        ]

    def _request(self, arrays: dict) -> dict:
        return {"inputs": [self._tensor(one, arrays[one["name"]]) for one in self.inputs]}

    def _tensor(self, told: dict, array) -> dict:
        if told["datatype"] in SCALED:
            array = np.round(array.astype(np.float64) * self.scale, 6)
        shape = [1, *array.shape] if array.ndim < len(told["shape"]) else list(array.shape)
        return {"name": told["name"], "shape": shape, "datatype": told["datatype"], "data": array.ravel().tolist()}


@dataclass
class Seen:
    """What a caller saw."""

    counts: Counter = field(default_factory=Counter)
    variants: Counter = field(default_factory=Counter)
    troubles: deque = field(default_factory=lambda: deque(maxlen=5))


class Caller(threading.Thread):
    """Asks one agent, one sample after the other, at a steady rate."""

    def __init__(self, name: str, url: str, model: str, samples: Samples, order, chosen, stop) -> None:
        super().__init__(name=name)
        self.seen = Seen()
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        self._model, self._samples, self._order = model, samples, order
        self._rate, self._requests, self._stop_event = chosen.rate, chosen.requests, stop
        self._asked = 0
        self._due = time.monotonic()
        self._taken: Taken | None = None

    def run(self) -> None:
        """Ask until stopped, or as often as requested."""
        number = 0
        while self._asked < self._requests and not self._stop_event.is_set():
            try:
                self._sample(number, int(self._order[number % len(self._order)]))
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.seen.counts["no answer"] += 1
                self.seen.troubles.append(f"{type(error).__name__}: {error}")
                self._connection.close()
            number += 1
        self._connection.close()

    def _sample(self, number: int, place: int) -> None:
        """Ask for one sample, or for each step of one that is a sequence."""
        if self._taken is None:
            self._taken = self._described()
        if self._taken is None:
            self._next_turn()
            self.seen.counts["not ready"] += 1
            return
        requests, label = self._taken.steps(self._samples, place), self._samples.label(place)
        each = self._taken.keeps_state and np.ndim(label) and len(label) == len(requests)
        for step, request in enumerate(requests):
            if not self._next_turn():
                return
            if self._taken.keeps_state:
                told = {"sequence_id": number + 1, "sequence_start": not step}
                request["parameters"] = {**told, "sequence_end": step == len(requests) - 1}
            of_step = label[step] if each else label if step == len(requests) - 1 else None
            if not self._ask({"id": f"{self.name}-{self._asked}", **request}, of_step):
                return

    def _next_turn(self) -> bool:
        """Wait until it is time to ask again; False if there is no more to ask."""
        self._asked += 1
        self._due = max(self._due + 1 / self._rate, time.monotonic() - 1)
        stopped = self._stop_event.wait(max(0.0, self._due - time.monotonic()))
        return not stopped and self._asked <= self._requests

    def _described(self) -> Taken | None:
        """What the model takes; None as long as there is no model."""
        found = []
        for path in ("", "/config"):
            self._connection.request("GET", f"/v2/models/{self._model}{path}")
            answer = self._connection.getresponse()
            found.append(json.loads(answer.read() or b"{}"))
            if answer.status != 200:
                return None
        said, config = found
        scale = float(said.get("parameters", {}).get("scale", 1.0))
        return Taken(said["inputs"], scale, "sequence_batching" in config)

    def _ask(self, request: dict, label) -> bool:
        """Ask once, and send the label; whether there was an answer."""
        counts = self.seen.counts
        status, answer = self._post(f"/v2/models/{self._model}/infer", request)
        if status == 503:
            # Expected before the first model is there; after that, a request went without an answer.
            counts["fell silent" if counts["answered"] else "not ready"] += 1
        elif status == 409:
            # A new version takes something else, or ended the sequence: look again, and begin the next one.
            counts["begun again"] += 1
            self._taken = None
        elif status != 200:
            counts["wrong status"] += 1
            self._taken = None
            self.seen.troubles.append(f"{status}: {answer.get('error', '')}"[:300])
        if status != 200:
            return False
        counts["answered"] += 1
        self.seen.variants[answer["parameters"]["variant"]] += 1
        if label is not None:
            feedback = {"model": self._model, "id": request["id"], "label": np.asarray(label).tolist()}
            status, answer = self._post("/edgefleet/v1/feedback", feedback)
            if status != 200:
                counts["label refused"] += 1
                self.seen.troubles.append(f"label: {status}: {answer.get('error', '')}"[:300])
        return True

    def _post(self, path: str, body) -> tuple[int, dict]:
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")


def main() -> None:
    """Run one caller for each endpoint; print what they saw as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"npz with x_{SPLIT}, and perhaps y_{SPLIT}")
    parser.add_argument("--model", required=True)
    parser.add_argument("--endpoint", action="append", required=True, metavar="NAME=URL")
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second, for each endpoint")
    parser.add_argument("--requests", type=int, default=100_000, help="at most so many for each endpoint")
    chosen = parser.parse_args()
    samples = Samples(chosen.data)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    callers = []
    for place, endpoint in enumerate(chosen.endpoint):
        name, _, url = endpoint.partition("=")
        order = np.random.default_rng(place).permutation(len(samples))
        callers.append(Caller(name, url, chosen.model, samples, order, chosen, stop))
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    seen = {one.name: one.seen for one in callers}
    told = {n: {**s.counts, "variants": dict(s.variants), "troubles": [*s.troubles]} for n, s in seen.items()}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
