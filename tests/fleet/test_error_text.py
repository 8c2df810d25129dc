"""What an application asks stays on its device, even where a model's runtime puts it into an error."""

import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.fleet.asking import PROFILE
from tests.fleet.conftest import Fleet, running_fleet
from tests.fleet.publishing import model_of, press_in
from typer.testing import CliRunner

from edgefleet_operator.cli import app

pytestmark = pytest.mark.fleet

PLANTED = -4242424
PLAIN, VERSION = 29, 30


def looks_up() -> bytes:
    """A model that looks up the sum of its input if that is negative, which no image's is."""
    nodes = [
        helper.make_node("ReduceSum", ["cast"], ["light"], keepdims=0),
        helper.make_node("Constant", [], ["none"], value=numpy_helper.from_array(np.array(0, np.float32))),
        helper.make_node("Min", ["light", "none"], ["below"]),
        helper.make_node("Cast", ["below"], ["index"], to=TensorProto.INT64),
        helper.make_node("Constant", [], ["table"], value=numpy_helper.from_array(np.zeros(3, np.float32))),
        helper.make_node("Gather", ["table", "index"], ["nothing"], name="look up"),
        helper.make_node("Add", ["plain", "nothing"], ["logits"]),
    ]
    return model_of(nodes, takes=TensorProto.FLOAT)


@pytest.fixture(scope="module")
def fleet(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("error-text")
    state = shutil.copytree(built, folder / "built", ignore=shutil.ignore_patterns("broker", "cache", "work"))
    with press_in(state, folder) as press:
        press.publish(PLAIN, model_of(takes=TensorProto.FLOAT))
        press.publish(VERSION, looks_up())
    with running_fleet(state, folder) as fleet:
        yield fleet


class Listener:
    """Hears everything that devices say."""

    def __init__(self, broker: str) -> None:
        self.heard: list[bytes] = []
        where = urlsplit(broker)
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _, __, message: self.heard.append(bytes(message.payload))
        self._client.on_connect = lambda client, *_: client.subscribe("edgefleet/#")
        self._client.connect(where.hostname or "", where.port or 1883)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def ask_what_is_planted(endpoint: str) -> tuple[int, bytes]:
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    tensor = {"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": [float(PLANTED)] + [0.0] * 783}
    connection.request("POST", "/v2/models/fashion/infer", json.dumps({"inputs": [tensor]}))
    answer = connection.getresponse()
    told = answer.status, answer.read()
    connection.close()
    return told


def test_a_value_that_the_runtime_puts_into_its_error_is_in_the_local_log_alone(fleet: Fleet) -> None:
    listener = Listener(fleet.broker)
    agent = fleet.add_agent("a", PROFILE)
    first = fleet.roll_out(version=PLAIN)
    fleet.wait(lambda: fleet.rollout(first)["state"] == "completed", "a version that takes the same", 60)
    endpoint = (fleet.device("a") or {})["endpoint"]
    rollout = fleet.roll_out(version=VERSION, timers={"trial_s": 20.0, "silent_s": 60})
    fleet.wait(lambda: "trial" in agent.phases(fleet.executions(rollout)["a"]["generation"] or 0), "the trial", 60)
    status, answer = ask_what_is_planted(endpoint)
    assert status == 200, "the old variant answers"
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "rolled_back", "the verdict", 90)
    attempt = fleet.attempt("a")
    assert attempt["failure"] == {"error": "InvalidArgument", "operator": "Gather", "node": "look up"}
    assert (attempt["reason"], "operator Gather" in attempt["detail"]) == ("trial_failed", True)

    # Once more where it is committed: then the application itself gets the error.
    again = fleet.roll_out(version=VERSION)
    fleet.wait(lambda: fleet.rollout(again)["state"] == "completed", "what nobody asked anything", 60)
    status, refused = ask_what_is_planted(endpoint)
    assert status == 500 and b"operator Gather" in refused
    heard = len(listener.heard)
    fleet.wait(lambda: len(listener.heard) > heard + 5, "windows and reports after it")
    listener.close()

    assert f"idx={PLANTED}" in agent.log(), "the test plants nothing"
    planted = str(abs(PLANTED)).encode()
    assert listener.heard and not [said for said in listener.heard if planted in said]
    assert planted not in answer + refused
    for told in (*rest(fleet, rollout), *commands(fleet, rollout)):
        assert planted not in told
    files = [path for path in fleet.state.rglob("*") if path.is_file()]
    assert any(path.name == "fleet.db" for path in files)
    assert [path.name for path in files if planted in path.read_bytes()] == []


def rest(fleet: Fleet, rollout: str) -> Iterator[bytes]:
    for path in ("/devices/a", f"/rollouts/{rollout}", f"/rollouts/{rollout}/executions", "/telemetry?model=fashion"):
        yield json.dumps(fleet.api.get(path)).encode()


def commands(fleet: Fleet, rollout: str) -> Iterator[bytes]:
    told = {"EDGEFLEET_API": fleet.api.url, "COLUMNS": "240"}
    for words in (["device", "show", "a"], ["rollout", "show", rollout, "--devices"], ["doctor"]):
        for form in ([], ["--json"]):
            yield CliRunner().invoke(app, [*words, *form], env=told).output.encode()
