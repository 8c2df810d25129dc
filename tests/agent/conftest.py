"""What the agent's tests share: tiny real models, a scripted wire, a stand-in for the controller, agent processes."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from tests.agent.asking import call, infer_body
from tests.agent.scripted import Clock, ScriptedWire
from tests.agent.variants import Variant, build_variant

from edgefleet_agent.device import scorer_text
from edgefleet_agent.placed import Placed
from edgefleet_agent.records import InstalledModel, RecordFile
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_protocol import topics
from edgefleet_protocol.chunks import SMALL_BLOB_CHUNK_BYTES, Bitmap, frame
from edgefleet_protocol.messages import (
    Acked,
    Attempt,
    ChunkRequest,
    DesiredModel,
    DesiredState,
    Hello,
    ReportedModel,
    ReportedState,
    Slot,
    TelemetryWindow,
    decode,
    encode,
)


@pytest.fixture(scope="session")
def make_variant() -> Callable[..., Variant]:
    return build_variant


@pytest.fixture
def wire() -> ScriptedWire:
    return ScriptedWire()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path, make_variant: Callable[..., Any]) -> Iterator[Callable[..., Placed]]:
    """Starts a worker for a variant; all end with the test."""
    started: list[Placed] = []

    def start(generation: int = 1, **variant: Any) -> Placed:
        made = make_variant(**variant)
        path = tmp_path / "slots" / made.id
        if not path.exists():
            made.place(tmp_path / "slots")
        slot = Slot(variant=made.id, manifest="0" * 64, model_version=1, generation=generation)
        spec = WorkerSpec(path / "model.onnx", {}, scorer=scorer_text(made.manifest.core))
        started.append(Placed(slot, made.manifest, spec, Worker(spec, ask_timeout_s=5.0)))
        return started[-1]

    yield start
    for placed in started:
        placed.kill()


class StandIn:
    """A stand-in for the controller on a real broker: desired states out, chunks for wants, acks, and what it heard."""

    def __init__(self, host: str, port: int, device: str = "d1") -> None:
        self.device = device
        self.blobs: dict[str, bytes] = {}
        self.reports: list[ReportedState] = []
        self.windows: list[TelemetryWindow] = []
        self.wants: list[ChunkRequest] = []
        self.presence: list[dict[str, Any]] = []
        self.serve_chunks = 10**9
        self.ack = True
        self.chunk_pause_s = 0.0
        self._changed = threading.Condition()
        self._queue: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="stand-in")
        self._client.on_message = lambda _, __, m: self._queue.put((m.topic, bytes(m.payload)))
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topics.ROOT}/up/#", 0)
        self._client.reconnect_delay_set(1, 1)
        subscribed = threading.Event()
        # As the controller does: what devices said before this reached nobody.
        hello = encode(Hello(jitter_s=0.1))
        self._client.on_subscribe = lambda client, *_: (client.publish(topics.HELLO, hello), subscribed.set())
        self._client.connect(host, port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert subscribed.wait(30)

    def desire(self, desired: DesiredModel, *variants: Variant, model: str = "pets") -> None:
        for variant in variants:
            self.blobs |= variant.blobs
        self.say(topics.desired(self.device), encode(DesiredState(models={model: desired})), retain=True)

    def say(self, topic: str, data: bytes, retain: bool = False) -> None:
        self._client.publish(topic, data, 1, retain)

    def wait(self, what: Callable[["StandIn"], Any], timeout_s: float = 60.0) -> Any:
        """The first truthy value of `what`, looked at after everything that is heard."""
        with self._changed:
            if not self._changed.wait_for(lambda: what(self), timeout_s):
                last = self.reports[-1].model_dump_json(indent=1, exclude_none=True) if self.reports else "nothing"
                pytest.fail(f"not within {timeout_s} s; the last report: {last}")
            return what(self)

    def wait_phase(self, phase: str, generation: int, timeout_s: float = 60.0, model: str = "pets") -> ReportedModel:
        def reached(heard: "StandIn") -> ReportedModel | None:
            told = heard.reports[-1].models.get(model) if heard.reports else None
            attempt = told.attempt if told else None
            return told if attempt and (attempt.phase, attempt.generation) == (phase, generation) else None

        found: ReportedModel = self.wait(reached, timeout_s)
        return found

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        while (heard := self._queue.get()) is not None:
            kind, data = topics.parse_up(heard[0]).kind, heard[1]
            with self._changed:
                if kind == "reported":
                    self.reports.append(decode(ReportedState, data))
                elif kind == "presence":
                    self.presence.append(json.loads(data))
                elif kind == "telemetry":
                    self.windows.append(window := decode(TelemetryWindow, data))
                    if self.ack:
                        done = Acked(incarnation=window.incarnation, through=window.seq)
                        self.say(topics.acked(self.device), encode(done))
                else:
                    self.wants.append(decode(ChunkRequest, data))
                self._changed.notify_all()
            if kind == "want":
                self._send_chunks(self.wants[-1])

    def _send_chunks(self, want: ChunkRequest) -> None:
        data = self.blobs.get(want.blob)
        if data is None:
            return
        limited = want.chunk_bytes != SMALL_BLOB_CHUNK_BYTES
        for index in Bitmap.from_text(want.chunks, want.missing):
            if limited:
                if self.serve_chunks <= 0:
                    return
                self.serve_chunks -= 1
                time.sleep(self.chunk_pause_s)
            part = data[index * want.chunk_bytes : (index + 1) * want.chunk_bytes]
            self._client.publish(topics.blob(want.blob, want.lane), frame(index, part))


class Agent:
    """An agent process on a state folder, started and ended as an operator or a power cut would."""

    def __init__(self, folder: Path, broker_url: str, *flags: str, device: str = "d1") -> None:
        self.state = folder
        self._argv = [
            *(sys.executable, "-m", "edgefleet_agent", "run", "--state", str(folder), "--device", device),
            *("--broker", broker_url, "--region", "na", "--link", "ethernet", "--simulate-hardware", "x86-avx2"),
            *("--heartbeat", "0.5", "--window", "0.5", "--http", "127.0.0.1:0", *flags),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> "Agent":
        assert self.process is None, "this agent runs already"
        self.process = subprocess.Popen(self._argv, env=os.environ | environment)
        return self

    def install(self, variant: Variant, generation: int = 1) -> None:
        """Leave the state folder as after a committed rollout of `variant`."""
        self.state.mkdir()
        variant.place(self.state / "slots")
        desired = variant.desired(generation)
        slot = Slot(variant=variant.id, manifest=desired.manifest or "", model_version=1, generation=generation)
        attempt = Attempt(generation=generation, manifest=desired.manifest, variant=variant.id, phase="committed")
        record = InstalledModel(desired=desired, attempt=attempt, answering=variant.id, slots={variant.id: slot})
        RecordFile(self.state).save("pets", record)

    def end(self, number: int = signal.SIGTERM) -> int:
        process, self.process = self.process, None
        assert process, "this agent does not run"
        process.send_signal(number)
        return process.wait(30)

    def wait_killed(self, timeout_s: float = 60.0) -> None:
        process, self.process = self.process, None
        assert process and process.wait(timeout_s) == -signal.SIGKILL

    @property
    def url(self) -> str:
        deadline = time.monotonic() + 30
        while not (self.state / "endpoint").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return (self.state / "endpoint").read_text()

    def journal(self) -> list[tuple[int, str, str | None]]:
        lines = (self.state / "journal.jsonl").read_text().splitlines()
        return [(line["generation"], line["phase"], line["reason"]) for line in map(json.loads, lines)]

    def call(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return call(self.url + path, body, **headers)

    def infer(self, value: float = 1.0, **fields: Any) -> tuple[int, Any]:
        return self.call("/v2/models/pets/infer", infer_body(value, **fields))

    def workers(self) -> list[int]:
        assert self.process
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        found: list[int] = []
        for path in children:
            with contextlib.suppress(OSError):  # a thread that ended meanwhile
                found += map(int, path.read_text().split())
        return found


@pytest.fixture
def start_stand_in() -> Iterator[Callable[[Any], StandIn]]:
    """Starts a stand-in for the controller on a broker."""
    started: list[StandIn] = []

    def start(broker: Any) -> StandIn:
        started.append(StandIn(broker.host, broker.port))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Makes agents on a broker, not started yet."""
    made: list[Agent] = []

    def make(broker: Any, *flags: str) -> Agent:
        made.append(Agent(tmp_path / f"state{len(made)}", broker.url, *flags))
        return made[-1]

    yield make
    for one in made:
        if one.process:
            one.end(signal.SIGKILL)


@pytest.fixture
def stand_in(broker: Any, start_stand_in: Callable[[Any], StandIn]) -> StandIn:
    return start_stand_in(broker)


@pytest.fixture
def agent(broker: Any, start_agent: Callable[..., Agent]) -> Agent:
    """An agent on the embedded kind of broker, not started yet."""
    return start_agent(broker)
