"""A controller by hand: says what a test wants said to one device, serves blobs, and keeps what the device reports."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from tests.conftest import Broker

from edgefleet_protocol import topics
from edgefleet_protocol.canonical import canonical_json, digest, digest_of
from edgefleet_protocol.chunks import Bitmap, frame, hash_list
from edgefleet_protocol.messages import ChunkRequest, decode

Parts = dict[str, bytes]
"""What a manifest names, by `onnx`, `encoding`, `golden` and `answers`."""


def found_in(blobs: Path, recipe: str) -> tuple[dict[str, Any], Parts]:
    """The manifest of a built variant, and what it names."""
    small = (path for path in blobs.rglob("*") if path.is_file() and path.stat().st_size < 4096)
    texts = (path.read_bytes() for path in small)
    manifests = (json.loads(text) for text in texts if text.startswith(b'{"answers":'))
    manifest = next(one for one in manifests if one["recipe"] == recipe)
    core, answers = manifest["core"], manifest["answers"]
    named = {"onnx": core["onnx"], "encoding": manifest["encodings"][0]["blob"], "golden": core["golden"]}
    named["answers"] = answers["blob"]
    return manifest, {name: (blobs / ref["sha256"][:2] / ref["sha256"]).read_bytes() for name, ref in named.items()}


class ByHand:
    """One connection to the broker, for one device."""

    def __init__(self, broker: Broker, device: str) -> None:
        self.device, self.blobs, self.reports = device, dict[str, bytes](), list[dict[str, Any]]()
        self.wants: list[ChunkRequest] = []
        self.meddle: Callable[[int, bytes], list[bytes]] = lambda index, data: [frame(index, data)]
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.connect(broker.host, broker.port)
        self._client.subscribe([(topics.up(device, kind), 0) for kind in ("reported", "want")])
        self._client.loop_start()

    def publish(self, manifest: dict[str, Any], parts: Parts) -> dict[str, Any]:
        """Serve a manifest with these parts, whose digests it is given; returns what a desired state says of it."""

        def deliver(data: bytes) -> dict[str, Any]:
            self.blobs[digest(data)] = data
            return {"sha256": digest(data), "size_bytes": len(data)}

        core = {**manifest["core"], "golden": deliver(parts["golden"])}
        core["onnx"] = {"sha256": digest(parts["onnx"]), "size_bytes": len(parts["onnx"])}
        encodings = [
            {**one, "blob": deliver(parts["encoding"])}
            | {"chunk_hashes": deliver(hash_list(parts["encoding"], one["chunk_bytes"]))}
            for one in manifest["encodings"]
        ]
        answers = {**manifest["answers"], "blob": deliver(parts["answers"])}
        whole = {**manifest, "core": core, "variant": digest_of(core), "encodings": encodings, "answers": answers}
        ref = deliver(canonical_json(whole))
        return {"manifest": ref["sha256"], "manifest_bytes": ref["size_bytes"]}

    def desire(self, **fields: Any) -> None:
        """Say what the device should run of the model, in the words of DesiredModel."""
        told = {"schema_version": 1, "of_a_newer_version": [1], "models": {"fashion": {"trial_s": 0.2, **fields}}}
        self._client.publish(topics.desired(self.device), json.dumps(told), qos=1, retain=True)

    @property
    def model(self) -> dict[str, Any]:
        """The last report of the model."""
        return dict(self.reports[-1]["models"].get("fashion") or {}) if self.reports else {}

    @property
    def attempt(self) -> dict[str, Any]:
        """The last attempt that was reported."""
        return self.model.get("attempt") or {}

    def wait(self, generation: int, phase: str, seconds: float = 20) -> dict[str, Any]:
        """Wait until the attempt at a generation is reported in a phase."""
        until = time.monotonic() + seconds
        while (self.attempt.get("generation"), self.attempt.get("phase")) != (generation, phase):
            assert time.monotonic() < until, f"waited for {phase} of generation {generation}: {self.attempt}"
            time.sleep(0.02)
        return self.attempt

    def close(self) -> None:
        """End the connection."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        if message.topic.endswith("/reported"):
            self.reports.append(json.loads(message.payload))
            return
        want = decode(ChunkRequest, message.payload)
        self.wants.append(want)
        for index in Bitmap.from_text(want.chunks, want.missing):
            data = self.blobs[want.blob][index * want.chunk_bytes : (index + 1) * want.chunk_bytes]
            for sent in self.meddle(index, data):
                client.publish(topics.blob(want.blob, want.lane), sent, qos=1)
