"""The example's application sends what the model's metadata asks for, and the label of each answer."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORKLOAD = Path(__file__).parents[2] / "examples" / "workload.py"


class Endpoint(ThreadingHTTPServer):
    """An agent's endpoint that keeps what it is sent; `refuses` are the statuses of the next requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.inputs: list[dict[str, Any]] = []
        self.scale = 1.0
        self.keeps_state = False
        self.asked: list[dict[str, Any]] = []
        self.labels: list[dict[str, Any]] = []
        self.refuses: list[int] = []


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        if self.path.endswith("/config"):
            self._answer(200, {"sequence_batching": {}} if self.server.keeps_state else {})
        else:
            self._answer(200, {"inputs": self.server.inputs, "parameters": {"scale": self.server.scale}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/infer"):
            self.server.asked.append(body)
            status = self.server.refuses.pop(0) if self.server.refuses else 200
            self._answer(status, {"outputs": [], "parameters": {"variant": "v"}} if status == 200 else {"error": "no"})
        else:
            self.server.labels.append(body)
            self._answer(200, {})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(endpoint: Endpoint, folder: Path, requests: int, **arrays: np.ndarray) -> dict[str, Any]:
    """What a workload of so many requests saw."""
    np.savez(folder / "data.npz", **arrays)
    url = f"line=http://127.0.0.1:{endpoint.server_address[1]}"
    words = ("--data", folder / "data.npz", "--model", "m", "--endpoint", url, "--rate", "500", "--requests", requests)
    done = subprocess.run([sys.executable, WORKLOAD, *map(str, words)], capture_output=True, timeout=60, check=True)
    seen: dict[str, Any] = json.loads(done.stdout)["line"]
    return seen


def test_samples_are_scaled_for_a_model_that_takes_floats_and_sent_as_they_are_to_others(endpoint, tmp_path) -> None:
    x, y = np.arange(24, dtype=np.uint8).reshape(3, 2, 4), np.array([0, 1, 2])
    endpoint.inputs, endpoint.scale = [{"name": "image", "datatype": "FP32", "shape": [-1, 2, 4]}], 0.5
    assert ask(endpoint, tmp_path, 3, x_test=x, y_test=y)["answered"] == 3
    for request, label in zip(endpoint.asked, endpoint.labels, strict=True):
        (tensor,) = request["inputs"]
        assert (tensor["shape"], tensor["datatype"]) == ([1, 2, 4], "FP32")
        assert tensor["data"] == (x[label["label"]].ravel() / 2).tolist()
        assert label["id"] == request["id"]
    endpoint.inputs, endpoint.scale = [{"name": "image", "datatype": "UINT8", "shape": [-1, 2, 4]}], 1.0
    ask(endpoint, tmp_path, 1, x_test=x, y_test=y)
    assert endpoint.asked[-1]["inputs"][0]["data"] == x[endpoint.labels[-1]["label"]].ravel().tolist()


def test_several_inputs_unequal_shapes_and_boxes_are_sent(endpoint, tmp_path) -> None:
    endpoint.inputs = [
        {"name": "frame", "datatype": "UINT8", "shape": [-1, -1, -1]},
        {"name": "site", "datatype": "BYTES", "shape": [1]},
    ]
    ask(
        endpoint,
        tmp_path,
        2,
        **{
            "x_test/frame/values": np.arange(10, dtype=np.uint8),
            "x_test/frame/shapes": np.array([[2, 2], [2, 3]]),
            "x_test/site": np.array([["Oslo"], ["Bergen"]]),
            "y_test/values": np.array([[1, 0, 0, 5, 5.5]], np.float32),
            "y_test/lengths": np.array([1, 0]),
        },
    )
    sent = {request["inputs"][1]["data"][0]: request for request in endpoint.asked}
    labels = {label["id"]: label["label"] for label in endpoint.labels}
    assert sent["Oslo"]["inputs"][0] | {"name": ""} == {
        "name": "",
        "shape": [1, 2, 2],
        "datatype": "UINT8",
        "data": [0, 1, 2, 3],
    }
    assert sent["Bergen"]["inputs"][0]["data"] == [4, 5, 6, 7, 8, 9]
    assert labels[sent["Oslo"]["id"]] == [[1, 0, 0, 5, 5.5]]
    assert labels[sent["Bergen"]["id"]] == []


@pytest.mark.parametrize("each", [True, False])
def test_a_model_that_keeps_state_is_sent_sequences_and_begins_again_when_one_was_ended(
    endpoint, tmp_path, each
) -> None:
    endpoint.inputs, endpoint.keeps_state = [{"name": "sound", "datatype": "FP32", "shape": [1, 2]}], True
    endpoint.refuses = [200, 409]
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    lengths = np.array([3, 3])
    labels = {"y_test/values": np.arange(6), "y_test/lengths": lengths} if each else {"y_test": np.array([7, 7])}
    seen = ask(endpoint, tmp_path, 5, **{"x_test/values": values, "x_test/lengths": lengths, **labels})
    assert (seen["answered"], seen["begun again"]) == (4, 1)
    told = [one["parameters"] for one in endpoint.asked]
    assert [(one["sequence_start"], one["sequence_end"]) for one in told] == [
        (True, False),
        (False, False),
        (True, False),
        (False, False),
        (False, True),
    ]
    assert told[0]["sequence_id"] == told[1]["sequence_id"] != told[2]["sequence_id"] == told[4]["sequence_id"]
    steps = [request["inputs"][0]["data"] for request in endpoint.asked[2:]]
    assert steps in ([[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]])
    assert all(request["inputs"][0]["shape"] == [1, 2] for request in endpoint.asked)
    assert len(endpoint.labels) == (4 if each else 1)
    assert endpoint.labels[-1]["label"] == (steps[-1][0] / 2 if each else 7)
