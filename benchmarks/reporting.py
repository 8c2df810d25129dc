"""A whole fleet's voice in one process: the reports of many devices, sent and answered by one MQTT client."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgefleet_protocol import topics
from edgefleet_protocol.messages import Facts, ReportedModel, ReportedState, Slot, encode

MODEL = "fashion"
OLD = sha256(b"the variant that answers until now").hexdigest()
IN_FLIGHT = 1000
STEP_S = 0.05


@dataclass
class Talker:
    """One device's word: its snapshot, with a gap where counters and the model go."""

    id: str
    topic: str
    head: str
    report: int = 0
    model: dict[str, Any] = field(default_factory=dict)

    def snapshot(self) -> bytes:
        """The next report."""
        self.report += 1
        return f'{self.head},"report":{self.report},"models":{{"{MODEL}":{json.dumps(self.model)}}}}}'.encode()


def device_ids(count: int) -> list[str]:
    """`field-00000` and so on."""
    return [f"field-{number:05d}" for number in range(count)]


def _talkers(count: int, profiles: Sequence[str]) -> list[Talker]:
    made = []
    for number, device in enumerate(device_ids(count)):
        region, hardware, link = profiles[number % len(profiles)].split("/")
        facts = Facts(
            hardware=hardware,
            region=region,
            link=link,
            arch="aarch64",
            isa=frozenset({"asimd", "asimddp", "fp", "crc32"}),
            cores=4,
            ram_mb=4096,
            storage_mb=32_000,
            providers=("CPUExecutionProvider",),
            onnxruntime="1.23.0",
        )
        slot = Slot(variant=OLD, manifest=OLD, model_version=1, generation=0)
        said = ReportedState(
            incarnation=sha256(device.encode()).hexdigest()[:32],
            boot=3,
            report=0,
            agent_version="0.1.0",
            sent_ms=1_700_000_000_000,
            clock_trusted=True,
            facts=facts,
            labels={"tier": "field", "site": f"site-{number % 400:03d}"},
            endpoint="http://127.0.0.1:8080",
        )
        fields = json.loads(encode(said))
        del fields["report"], fields["models"]
        model = json.loads(encode(ReportedModel(answering=slot, slots=(slot,))))
        made.append(Talker(device, topics.up(device, "reported"), json.dumps(fields)[:-1], model=model))
    return made


class SpokenFleet:
    """Runs in the child: heartbeats at a given pace, and an answer to every desired state.

    A device goes as far as `reaches` says for its place in the fleet and stays there, so that every phase is met.
    """

    def __init__(self, broker: str, count: int, profiles: Sequence[str]) -> None:
        self._talkers = _talkers(count, profiles)
        self._by_id = {talker.id: talker for talker in self._talkers}
        self._place = {talker.id: place for place, talker in enumerate(self._talkers)}
        self._round_s: float | None = None
        self._next = 0.0
        self.reaches: Sequence[str] = ("staged",)
        self.told = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="fleet", protocol=mqtt.MQTTv311)
        self._client.max_inflight_messages_set(IN_FLIGHT)
        self._client.on_message = self._desired
        address = urlsplit(broker)
        self._client.connect(address.hostname or "", address.port or 1883, keepalive=60)
        self._client.subscribe(topics.desired("+"), 0)
        self._client.loop_start()

    def round(self) -> float:
        """Everyone reports once, as fast as the broker takes it; the seconds until it has."""
        started = time.perf_counter()
        sent = [self._client.publish(t.topic, t.snapshot(), qos=1) for t in self._talkers]
        for info in sent:
            info.wait_for_publish(60)
        return time.perf_counter() - started

    def heartbeats(self, round_s: float | None) -> None:
        """From now on everyone reports once in so many seconds; None stops it."""
        self._round_s, self._next = round_s, 0.0

    def beat(self) -> None:
        """Send the reports of one step."""
        if self._round_s is None:
            return
        first = int(self._next)
        self._next += len(self._talkers) * STEP_S / self._round_s
        for place in range(first, int(self._next)):
            talker = self._talkers[place % len(self._talkers)]
            self._client.publish(talker.topic, talker.snapshot(), qos=1)

    def _desired(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        device = message.topic.split("/")[3]
        asked = json.loads(message.payload)["models"].get(MODEL) if message.payload else None
        talker = self._by_id.get(device)
        if talker is None or asked is None:
            return
        self.told += 1
        phase = self.reaches[self._place[device] % len(self.reaches)]
        attempt = {k: asked[k] for k in ("generation", "rollout", "manifest") if k in asked}
        attempt |= {"phase": "trial" if asked["activate"] and phase == "staged" else phase}
        attempt |= {"transfer": {"bytes_total": 46_000, "bytes_done": 46_000, "seconds": 1.5, "wants": 2}}
        talker.model = {**talker.model, "generation": asked["generation"], "attempt": attempt}
        self._client.publish(talker.topic, talker.snapshot(), qos=1)


def _serve(broker: str, count: int, profiles: Sequence[str], orders: Any) -> None:
    """The child: takes (method, arguments) and answers what it returns, and beats in between."""
    fleet = SpokenFleet(broker, count, profiles)
    orders.send(None)
    while True:
        until = time.perf_counter() + STEP_S
        while (left := until - time.perf_counter()) > 0:
            if orders.poll(left):
                name, value = orders.recv()
                if name == "end":
                    return
                if name == "round":
                    orders.send(fleet.round())
                elif name == "told":
                    orders.send(fleet.told)
                elif name == "reaches":
                    fleet.reaches = value
                else:
                    fleet.heartbeats(value)
        fleet.beat()


class Reporters:
    """The fleet's process, as the benchmark sees it."""

    def __init__(self, broker: str, count: int, profiles: Sequence[str]) -> None:
        context = get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(broker, count, profiles, theirs), daemon=True)
        self._child.start()
        self._orders.recv()

    def round(self) -> float:
        """Everyone reports once; the seconds until the broker had it all."""
        self._orders.send(("round", None))
        return float(self._orders.recv())

    def told(self) -> int:
        """How many desired states arrived so far."""
        self._orders.send(("told", None))
        return int(self._orders.recv())

    def reach(self, *phases: str) -> None:
        """How far devices go, by their place."""
        self._orders.send(("reaches", phases))

    def heartbeats(self, round_s: float | None) -> None:
        """Everyone reports once in so many seconds; None stops it."""
        self._orders.send(("heartbeats", round_s))

    def end(self) -> None:
        """End the process."""
        self._orders.send(("end", None))
        self._child.join(5)
        if self._child.is_alive():
            self._child.kill()
