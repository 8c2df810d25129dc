"""The HTTP endpoint over a real worker, without the rest of an agent."""

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgefleet_agent.answering import Answering
from edgefleet_agent.device import scorer_text
from edgefleet_agent.endpoint import Endpoint
from edgefleet_agent.placed import Placed
from edgefleet_agent.serving import Serving
from edgefleet_agent.telemetry import Recorder
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_protocol.messages import Slot


class Device:
    """An endpoint with one model, `pets`."""

    def __init__(self, folder: Path, variant: Any) -> None:
        path = variant.place(folder / "slots")
        spec = WorkerSpec(path / "model.onnx", {}, scorer=scorer_text(variant.manifest.core))
        slot = Slot(variant=variant.id, manifest="0" * 64, model_version=3, generation=7)
        self.variant = variant
        self.recorder = Recorder(lambda: 0.0, lambda: 0)
        self.serving = Serving(self.recorder, lambda: b'{"incarnation":"x"}')
        self.pets = Answering(lambda _: None)
        self.pets.serve(Placed(slot, variant.manifest, spec, Worker(spec)))
        self.serving.add("pets", self.pets, lambda: True)
        self.endpoint = Endpoint("127.0.0.1", 0, self.serving)
        self.url = self.endpoint.url

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")


def post(url: str, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    reply = connection.getresponse()
    told = reply.status, json.loads(reply.read())
    connection.close()
    return told


def get(url: str, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path)
    reply = connection.getresponse()
    told = reply.status, json.loads(reply.read())
    connection.close()
    return told


def body(**changes: Any) -> bytes:
    tensor = {"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [1.0] * 16} | changes
    return json.dumps({"inputs": [tensor], "id": "r1"}).encode()


INFER = "/v2/models/pets/infer"
