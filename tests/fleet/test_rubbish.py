"""Rubbish on every topic: counted and set aside on both sides; nobody ends, and the fleet goes on working.

A stranger throws it at a fleet on each kind of broker. A witness hears what the broker lets through, and tells by the
rules of the protocol what is rubbish: so many messages must have been set aside, not one more or less.
"""

import base64
import json
import random
import re
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from inspect import getmembers, isfunction, signature
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from tests.conftest import mosquitto, running
from tests.fleet.asking import PROFILE, ask
from tests.fleet.conftest import Fleet, running_fleet

from edgefleet_protocol import latency, topics
from edgefleet_protocol.chunks import frame, parse_frame
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.floods import PER_MINUTE
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

pytestmark = [pytest.mark.fleet, pytest.mark.broker]

FIXTURES = max((Path(__file__).parents[1] / "protocol" / "fixtures").glob("v*"), key=lambda path: int(path.name[1:]))
THIN = "eu/x86-avx2/lab"  # takes ten seconds for a variant, in small chunks
MUTATIONS = 400
"""Of each kind of message."""
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


def bomb(counters: bytes) -> str:
    """A latency histogram that says something else than it is."""
    header = struct.pack(">iiiiqqd", 0x1C849313, len(counters), 0, 2, 1, 6_000_000, 1.0)
    packed = zlib.compress(header + counters)
    return base64.b64encode(struct.pack(">ii", 0x1C849314, len(packed)) + packed).decode()


SKETCHES = {
    "no base64": "?" * 100,
    "no zlib": base64.b64encode(struct.pack(">ii", 0x1C849314, 4) + b"rubb").decode(),
    "unfolds to 6 MB": bomb(bytes(6_000_000))[:16_000],
    "more counters than there are": bomb(b"\x02" * 10_000),
    "a counter without end": bomb(b"\xff" * 40),
    "a run of zeros without end": bomb(b"\xff\xff\xff\xff\xff\xff\xff\x7f\x02"),
}
RUBBISH: dict[str, bytes] = {
    "half a JSON": b'{"schema_version": 1',
    "words": b"hello, is anybody there?",
    "no UTF-8": b"\xff\xfe\x00" * 100,
    "a list": b"[]",
    "null": b"null",
    "a number": b"1e308",
    "NaN": b"NaN",
    "a message of NaN": b'{"jitter_s": NaN, "models": NaN, "incarnation": NaN, "through": NaN}',
    "a version of 0": b'{"schema_version": 0}',
    "a version of -1": b'{"schema_version": -1}',
    "a version in words": b'{"schema_version": "one"}',
    "a version beyond all": b'{"schema_version": 99999999999999999999999}',
    "an integer of 10,000 digits": b'{"through": ' + b"9" * 10_000 + b"}",
    "nested a thousand deep": b'{"x": ' + b"[" * 1_000 + b"]" * 1_000 + b"}",
    "nested 100,000 deep": b'{"x":' * 100_000,
    "100,000 lists deep": b"[" * 100_000,
    "1 MB of letters": b"x" * 1_000_000,
    "1 MB of JSON": b'{"x": "' + b"x" * 999_000 + b'"}',
    "wrong types": b'{"models": 7, "jitter_s": {}, "incarnation": [], "online": 9, "seq": "x", "blob": null}',
    "half a surrogate pair": b'{"incarnation": "\\ud800", "jitter_s": "\\ud800", "models": {"\\ud800": {}}}',
}
HARMLESS: dict[str, bytes] = {
    "a version to come": b'{"schema_version": 2, "of_a_newer_version": true, "jitter_s": 0.1}',
    "a version far off": b'{"schema_version": 999, "jitter_s": 0.1}',
}
"""What a kind without required fields takes."""
ODD_TOPICS = [
    b"edgefleet/v1/up/00/steady/reported",
    "edgefleet/v1/up/00/größe-☃/reported".encode(),
    b"edgefleet/v1/up/00/STEADY/presence",
    b"edgefleet/v1/up/00/a b/telemetry",
    b"edgefleet/v1/up/00/a.b*>/telemetry",
    b"edgefleet/v1/up/00//want",
    b"edgefleet/v1/up//steady/want",
    b"edgefleet/v1/up/00/../../etc/reported",
    b"edgefleet/v1/up/00/" + b"a" * 10_000 + b"/reported",
    b"edgefleet/v1/up/00/a\nb/reported",
    b"edgefleet/v1/up/00/\xff\xfe/reported",
    b"edgefleet/v1/up/00/steady/unheard",
    b"edgefleet/v1/up/+/+/reported",
    b"edgefleet/v1/up/#",
    b"edgefleet/v1/up/00/st\x00ady/reported",
]


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
    except (ProtocolError, UnicodeDecodeError):
        return True
    # No stranger knows a blob of ours: but for those of the agents, no `want` makes sense.
    return isinstance(message, ChunkRequest) and sender.device not in ("steady", "slow")


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
        self.slow = fleet.add_agent("slow", THIN)
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


@pytest.fixture(scope="module", params=["nats", "mosquitto"])
def scene(request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("rubbish")
    brokers = running(mosquitto(tmp_path_factory.mktemp("broker"))) if request.param == "mosquitto" else iter(())
    broker = next(brokers, None)
    options = ["--broker", broker.url] if broker else []
    with running_fleet(built, folder, *options) as fleet:
        shown = Scene(fleet)
        yield shown
        shown.close()
    next(brokers, None)


def test_every_topic_of_the_protocol_is_thrown_at() -> None:
    built = {name for name, made in getmembers(topics, isfunction) if signature(made).return_annotation is str}
    fixed = {name for name, value in vars(topics).items() if isinstance(value, str) and value.startswith(topics.ROOT)}
    assert built - {"shard", "up_filters"} == {"up", "blob", *(DOWN.keys() - {"HELLO"})}
    assert fixed - {"ROOT", "ALL_UP"} == {"HELLO"}
    assert UP.keys() == set(topics.UP_KINDS)


@pytest.mark.parametrize("name", ["steady", "stranger"])
def test_rubbish_of_every_sort_is_set_aside_by_the_controller(scene: Scene, name: str) -> None:
    before = scene.risen("controller")
    thrown = [(topics.up(name, kind), data) for data in RUBBISH.values() for kind in topics.UP_KINDS]
    scene.throw(*thrown)
    assert scene.risen("controller") - before == len(thrown)
    scene.answers()


def test_rubbish_of_every_sort_is_set_aside_by_a_device(scene: Scene) -> None:
    before = scene.risen("steady")
    thrown = [(of("steady"), data) for data in RUBBISH.values() for of in DOWN.values()]
    scene.throw(*thrown)
    assert scene.risen("steady") - before == len(thrown)
    scene.throw(*((topics.HELLO, data) for data in HARMLESS.values()))
    assert scene.risen("steady") - before == len(thrown)
    scene.answers()


def test_latency_sketches_that_lie_and_bitmaps_that_do_not_fit_are_set_aside(scene: Scene) -> None:
    before = scene.risen("controller")
    window = json.loads((FIXTURES / "TelemetryWindow.json").read_text())
    want = json.loads((FIXTURES / "ChunkRequest.json").read_text())
    bitmaps = ["", "?", "A" * 300_000, base64.b64encode(bytes(1_000)).decode(), "////"]
    lies = [(topics.up("steady", "telemetry"), {**window, "latency": text}) for text in SKETCHES.values()]
    lies += [(topics.up("steady", "want"), {**want, "missing": text}) for text in bitmaps]
    lies += [(topics.up("steady", "want"), {**want, "chunks": 2_000_000, "chunk_bytes": 1_024})]
    lies += [(topics.up("steady", "telemetry"), {**window, "requests": 2**61})]
    thrown = [(topic, json.dumps(fields).encode()) for topic, fields in lies]
    for topic, data in thrown:
        scene.stranger.publish(topic, data, 1).wait_for_publish(20)
    scene.fleet.wait(lambda: scene.risen("controller") - before == len(thrown), "the lies to be set aside")
    scene.witness.heard["controller"] = scene.risen("controller")  # what a blob is only the controller knows
    assert httpx.get(f"{scene.fleet.api.url}/api/v1/telemetry").status_code == 200
    scene.answers()


def test_odd_topics_are_set_aside_as_far_as_the_broker_lets_them_through(scene: Scene) -> None:
    for topic in ODD_TOPICS:
        publish_raw(scene.fleet.broker, topic, b"{}")
    publish_raw(scene.fleet.broker, topics.up("steady", "reported").encode(), b"x" * 5_000_000)
    time.sleep(1)
    scene.answers()


def publish_raw(broker: str, topic: bytes, data: bytes) -> None:
    """Publish what no client library would; the broker may close the connection for it."""
    host, _, port = broker.removeprefix("mqtt://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04odd!")
        assert connection.recv(4)[:1] == b"\x20"
        body = struct.pack(">H", len(topic)) + topic + data
        length, left = bytearray(), len(body)
        while left:
            left, low = divmod(left, 128)
            length.append(low | (128 if left else 0))
        try:
            connection.sendall(b"\x30" + bytes(length) + body + b"\xe0\x00")
            while connection.recv(1024):
                pass
        except OSError:
            pass


def mutations(data: bytes, draw: random.Random, count: int) -> Iterator[bytes]:
    """Versions of a message that differ in some bytes, or in some value."""
    whole = json.loads(data)
    for _ in range(count):
        if draw.random() < 0.4:
            changed = bytearray(data)
            for _ in range(draw.randint(1, 4)):
                at = draw.randrange(len(changed))
                changed[at : at + draw.choice((0, 1, 1, 5))] = draw.choice((b"", b"\x00", b'"', b"}", b"9", b"\xc3"))
            yield bytes(changed)
        else:
            yield json.dumps(_mutated(json.loads(json.dumps(whole)), draw)).encode()


NASTY = (None, True, -1, 0, 1.5, 2**31, 2**53, 2**63, 10**400, 1e308, "", "x" * 3_000, "\u0000", "☃", [], {}, [[]])


def _mutated(value: Any, draw: random.Random) -> Any:
    """A value with one of its parts, however deep, replaced, removed or doubled."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or draw.random() < 0.25:
        return draw.choice(NASTY)
    key = draw.choice(keys)
    if draw.random() < 0.6:
        value[key] = _mutated(value[key], draw)
    elif isinstance(value, dict) and draw.random() < 0.5:
        value[draw.choice(("x", "", "☃", "a" * 70, f"{key}s"))] = value.pop(key)
    else:
        del value[key]
    return value


def test_thousands_of_small_changes_to_messages_harm_nobody(scene: Scene) -> None:
    draw = random.Random(7)
    thrown = [
        (topics.up("mutant", kind), data)
        for kind, message in UP.items()
        for data in mutations((FIXTURES / f"{message.__name__}.json").read_bytes(), draw, MUTATIONS)
    ]
    draw.shuffle(thrown)
    scene.throw(*thrown)
    thrown = []
    for name, of in DOWN.items():
        valid = (FIXTURES / f"{DOWN_KINDS[name].__name__}.json").read_bytes()
        thrown += [(of("steady"), data) for data in mutations(valid, draw, MUTATIONS) if not steers(name, data)]
    draw.shuffle(thrown)
    scene.throw(*thrown)
    assert scene.witness.heard["controller"] > len(UP) * MUTATIONS / 3, "many changes leave nothing sound"
    assert scene.witness.heard["steady"] > len(DOWN) * MUTATIONS / 3
    scene.answers()


def steers(name: str, data: bytes) -> bool:
    """Whether a message is sound and would have the device do something: that is no rubbish."""
    return name == "desired" and reads(DesiredState, data) and bool(decode(DesiredState, data).models)


def test_frames_that_are_none_are_counted_and_the_download_ends_well(scene: Scene) -> None:
    fleet = scene.fleet
    rollout = fleet.roll_out(version=2, selector="link=lab")
    fleet.wait(lambda: fleet.attempt("slow").get("phase") == "downloading", "the download")
    blobs: Counter[str] = Counter()
    listener = client(fleet.broker)
    listener.on_message = lambda _, __, message: blobs.update([message.topic])
    listener.subscribe("edgefleet/v1/blobs/+/lab")
    fleet.wait(lambda: blobs and blobs.most_common()[0][1] > 30, "the encoding to come")
    topic, before = blobs.most_common()[0][0], scene.risen("slow")
    none = [b"", b"\x01", b"\x01\x00\x00\x00\x00", b"\x02" + bytes(100), b"\x00" * 1_000, b"\xff" * 1_000_000]
    odd = [frame(index, data) for index in (0, 7, 2**31, 2**32 - 1) for data in (b"x", bytes(48 * 1024), bytes(4096))]
    for data in (*none, *odd):
        scene.stranger.publish(topic, data, 1).wait_for_publish(20)
    assert sum(not is_frame(data) for data in none) == len(none)
    fleet.wait(lambda: scene.risen("slow") - before == len(none), "the frames to be counted")
    scene.witness.heard["slow"] = scene.risen("slow")
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 60)
    assert fleet.attempt("slow")["transfer"]["wrong_chunks"] > 0
    listener.disconnect()
    listener.loop_stop()
    scene.answers()


def is_frame(data: bytes) -> bool:
    try:
        parse_frame(data)
    except ProtocolError:
        return False
    return True


def test_retained_rubbish_meets_a_device_at_its_start_and_a_rollout_takes_its_place(scene: Scene) -> None:
    fleet, device = scene.fleet, scene.steady
    scene.stranger.publish(topics.desired("steady"), b"\xff rubbish", 1, retain=True).wait_for_publish(20)
    scene.settle()
    boot = fleet.device("steady")["boot"]
    device.stop()
    device.start()
    fleet.wait(lambda: fleet.device("steady")["boot"] > boot, "the device")
    fleet.wait(lambda: fleet.device("steady")["set_aside"] == 1, "the device to meet it")
    fleet.wait(lambda: ask(fleet.device("steady")["endpoint"], np.zeros((1, 28, 28)))[0] == 200, "its answer")
    assert ask(fleet.device("steady")["endpoint"], np.zeros((1, 28, 28)))[0] == 200
    rollout = fleet.roll_out(version=2, selector="link=ethernet,region=eu")
    fleet.wait(lambda: fleet.executions(rollout)["steady"]["phase"] == "committed", "fashion@2", 60)
    assert ask(fleet.device("steady")["endpoint"], np.zeros((1, 28, 28)))[0] == 200


def test_no_log_was_flooded(scene: Scene) -> None:
    for process in (scene.fleet.controller, scene.steady, scene.slow):
        said = process.log()
        assert "was set aside: " in said or process is scene.slow
        minutes = 1 + 240 // 60
        assert said.count("was set aside: ") <= PER_MINUTE * minutes
        assert len(said) < 100_000
        assert all(line.isprintable() for line in said.splitlines())
        assert "Traceback" not in said
