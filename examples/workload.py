"""An application of the agents: sends labelled images to each agent, and later the labels.

It knows nothing of fleets: it speaks the Open Inference Protocol (v2, JSON) to the agent on its own machine, and
posts each label to the agent's feedback endpoint. It runs until it is ended (SIGTERM) or has asked `--requests` times.

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
from pathlib import Path

import numpy as np


class Caller(threading.Thread):
    """Asks one agent, one image after the other, at a steady rate."""

    def __init__(self, name: str, url: str, model: str, images, labels, rate: float, requests: int, stop) -> None:
        super().__init__(name=name)
        self.counts: Counter[str] = Counter()
        self.variants: Counter[str] = Counter()
        self.troubles: deque[str] = deque(maxlen=5)
        parts = urllib.parse.urlsplit(url)
        self._host, self._port, self._model = parts.hostname, parts.port, model
        self._images, self._labels = images, labels
        self._rate, self._requests, self._stop_event = rate, requests, stop
        self._input: dict[str, str] | None = None
        self._scale = 1.0

    def run(self) -> None:
        """Ask until stopped, or as often as requested."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
        due = time.monotonic()
        for number in range(self._requests):
            due = max(due + 1 / self._rate, time.monotonic() - 1)
            if self._stop_event.wait(max(0.0, due - time.monotonic())):
                break
            index = number % len(self._images)
            try:
                self._ask(connection, f"{self.name}-{number}", self._images[index], int(self._labels[index]))
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.counts["no answer"] += 1
                self.troubles.append(f"{type(error).__name__}: {error}")
                connection.close()
        connection.close()

    def _describe(self, connection) -> bool:
        """Learn from the model's metadata what it takes, once there is a model."""
        connection.request("GET", f"/v2/models/{self._model}")
        answer = connection.getresponse()
        said = json.loads(answer.read() or b"{}")
        if answer.status == 200:
            self._input = {key: said["inputs"][0][key] for key in ("name", "datatype")}
            self._scale = float(said.get("parameters", {}).get("scale", 1.0))
        return answer.status == 200

    def _ask(self, connection, request_id: str, image, label: int) -> None:
        if self._input is None and not self._describe(connection):
            self.counts["not ready"] += 1
            return
        # Models that were published by controllers of 0.1 take pixels that are multiplied already.
        pixels = image if self._input["datatype"] == "UINT8" else np.round(image.astype(np.float32) * self._scale, 6)
        tensor = {**self._input, "shape": [1, *image.shape], "data": pixels.ravel().tolist()}
        status, answer = self._post(
            connection, f"/v2/models/{self._model}/infer", {"id": request_id, "inputs": [tensor]}
        )
        if status == 503:
            # Expected before the first model is there; after that, a request went without an answer.
            self.counts["fell silent" if self.counts["answered"] else "not ready"] += 1
            return
        if status != 200:
            self.counts["wrong status"] += 1
            return
        self.counts["answered"] += 1
        self.counts["right"] += int(np.argmax(answer["outputs"][0]["data"]) == label)
        self.variants[answer["parameters"]["variant"]] += 1
        feedback = {"model": self._model, "id": request_id, "label": label}
        if self._post(connection, "/edgefleet/v1/feedback", feedback)[0] != 200:
            self.counts["label refused"] += 1

    def _post(self, connection, path: str, body) -> tuple[int, dict]:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")


def main() -> None:
    """Run one caller for each endpoint; print what they saw as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="npz with x_test (uint8) and y_test")
    parser.add_argument("--model", required=True)
    parser.add_argument("--endpoint", action="append", required=True, metavar="NAME=URL")
    parser.add_argument("--rate", type=float, default=10.0, help="images a second, for each endpoint")
    parser.add_argument("--requests", type=int, default=100_000, help="at most so many for each endpoint")
    chosen = parser.parse_args()
    with np.load(chosen.data, allow_pickle=False) as data:
        images, labels = data["x_test"], data["y_test"]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    callers = []
    for place, endpoint in enumerate(chosen.endpoint):
        name, _, url = endpoint.partition("=")
        order = np.random.default_rng(place).permutation(len(images))
        callers.append(
            Caller(name, url, chosen.model, images[order], labels[order], chosen.rate, chosen.requests, stop)
        )
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    print(
        json.dumps(
            {c.name: {**c.counts, "variants": dict(c.variants), "troubles": [*c.troubles]} for c in callers}, indent=1
        )
    )


if __name__ == "__main__":
    main()
