"""A fleet that a stranger throws things at, and a witness who tells by the protocol's rules what is rubbish."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import numpy as np
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from tests.fleet.asking import PROFILE, ask
from tests.fleet.conftest import Fleet

from edgefleet_protocol import latency, topics
from edgefleet_protocol.chunks import Bitmap
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.messages import (
    Acked,
    ChunkRequest,
    DesiredState,
    Hello,
    Message,
    Presence,
    ReportedState,
    TelemetryWindow,
    decode,
)

LINE = "eu/x86-avx2/line"  # takes some seconds for a variant
AT_ONCE = 100
"""So many are thrown before those whom they reach are waited for: nothing is to be lost in anybody's queue."""
EVERYONE = ("controller", "steady", "slow")
UP: dict[topics.UpKind, type[Message]] = {
    "reported": ReportedState,
    "presence": Presence,
    "telemetry": TelemetryWindow,
    "want": ChunkRequest,
}
DOWN: dict[str, Callable[[str], str]] = {
    "desired": topics.desired,
    "acked": topics.acked,
    "HELLO": lambda _: topics.HELLO,
}
DOWN_KINDS: dict[str, type[Message]] = {"desired": DesiredState, "acked": Acked, "HELLO": Hello}


class Witness:
    """Hears everything that the broker lets through, and judges it by the protocol."""

    def __init__(self, broker: str) -> None:
        self._client = client(broker)
        self._lock = threading.Lock()
        self.heard: Counter[str] = Counter()
        """Messages by what is to become of them: rubbish for the controller or for a device; `all` of them."""
        ready = threading.Event()
        self._client.on_message = lambda _, __, message: self._hear(message._topic, bytes(message.payload))
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.subscribe("edgefleet/v1/#")
        assert ready.wait(10)

    def _hear(self, topic: bytes, data: bytes) -> None:
        with self._lock:
            self.heard["all"] += 1
            parts = topic.split(b"/")
            if parts[2] == b"up" and len(parts) == 6 and parts[5].decode() in topics.UP_KINDS:
                self.heard["controller"] += refused_by_the_controller(topic, data)
            for device in ("steady", "slow"):
                for kind, of in DOWN.items():
                    empty = kind == "desired" and not data
                    if topic == of(device).encode() and not empty and not reads(DOWN_KINDS[kind], data):
                        self.heard[device] += 1

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def reads(kind: type[Message], data: bytes) -> bool:
    try:
        decode(kind, data)
    except ProtocolError:
        return False
    return True


def refused_by_the_controller(topic: bytes, data: bytes) -> bool:
    try:
        sender = topics.parse_up(topic.decode())
        message = decode(UP[sender.kind], data)
        if isinstance(message, TelemetryWindow) and message.latency is not None:
            latency.check(message.latency)
        if isinstance(message, ChunkRequest):
            Bitmap.from_text(message.chunks, message.missing)
    except (ProtocolError, UnicodeDecodeError):
        return True
    return False


def client(broker: str) -> mqtt.Client:
    host, _, port = broker.removeprefix("mqtt://").partition(":")
    made = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    connected = threading.Event()
    made.on_connect = lambda *_: connected.set()
    made.max_inflight_messages_set(AT_ONCE)
    made.connect(host, int(port))
    made.loop_start()
    assert connected.wait(10)
    return made


class Scene:
    """A fleet with two devices, its witness, and the stranger."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.steady = fleet.add_agent("steady", PROFILE)
        rollout = fleet.roll_out()
        fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "fashion@1", 60)
        self.slow = fleet.add_agent("slow", LINE)
        fleet.api.post("/devices", {"id": "mutant", "profile": PROFILE})
        self.witness = Witness(fleet.broker)
        self.stranger = client(fleet.broker)
        self._before = {name: self.set_aside(name) for name in EVERYONE}
        self.pids = [process.pid for process in (fleet.controller, *fleet.agents)]

    def throw(self, *messages: tuple[str, bytes]) -> None:
        """Publish, and wait until everybody has taken it."""
        for start in range(0, len(messages), AT_ONCE):
            some = messages[start : start + AT_ONCE]
            heard = self.witness.heard["all"] + len(some)
            told = [self.stranger.publish(topic, data, 1) for topic, data in some]
            for info in told:
                info.wait_for_publish(20)
            self.wait(lambda heard=heard: self.witness.heard["all"] >= heard, "the witness")
            up = all(topic.startswith("edgefleet/v1/up/") for topic, _ in some)
            self.settle(EVERYONE[:1] if up else EVERYONE)

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        self.fleet.wait(condition, what, 60)

    def settle(self, names: Iterable[str] = EVERYONE) -> None:
        """Wait until as many messages are set aside as the witness has seen rubbish."""
        for name in names:
            self.wait(lambda name=name: self.risen(name) >= self.witness.heard[name], f"what {name} sets aside")

    def risen(self, name: str) -> int:
        """How many messages were set aside since the beginning."""
        return self.set_aside(name) - self._before[name]

    def set_aside(self, name: str) -> int:
        if name != "controller":
            found = self.fleet.device(name)
            assert found, name
            return int(found["set_aside"])
        page = httpx.get(f"{self.fleet.api.url}/metrics").text
        found = re.search(r'^edgefleet_messages_not_taken_total\{why="set_aside"\} (\S+)$', page, re.MULTILINE)
        assert found, page
        return int(float(found[1]))

    def answers(self) -> None:
        """The same processes still run, every count is exact, and an application is answered."""
        assert [p.pid for p in (self.fleet.controller, *self.fleet.agents) if p.running] == self.pids, self.fleet.logs()
        self.settle()
        for name in EVERYONE:
            assert self.risen(name) == self.witness.heard[name], name
        assert ask(self.fleet.device("steady")["endpoint"], np.zeros((1, 28, 28)))[0] == 200
        for process in (self.fleet.controller, self.steady, self.slow):
            assert "Traceback" not in process.log()

    def close(self) -> None:
        self.stranger.disconnect()
        self.stranger.loop_stop()
        self.witness.close()
