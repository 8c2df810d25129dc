"""Many devices' telemetry from one process, as fast as it is taken.

Windows are sent, kept and sent again as an agent's spool does it: at most `burst` of one device are on their way, and
one leaves the spool when it is acknowledged. One connection speaks for all devices of a process, and MQTT frames are
packed here: a paho client that publishes would be slower than the subscriber that is measured.
"""

import json
import os
import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing.connection import Connection
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.mqtt_frames import SUBACK, frame, next_frame, text
from edgefleet_protocol import topics
from edgefleet_protocol.latency import LatencyHistogram

RESEND_S = 5.0
SKETCHES = 300
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
VARIANT = sha256(b"a variant").hexdigest()
READ_BYTES = 1 << 20
FRAMES_A_WRITE = 64


@dataclass(frozen=True)
class Load:
    """What one process does.

    `device_ids` speak through it; `burst` windows of a device go at once; `in_flight` are on their way in all, of
    this process. `life` tells runs apart: every run is a new incarnation of its devices.
    """

    port: int
    device_ids: tuple[str, ...]
    burst: int
    in_flight: int
    life: str


@dataclass
class _Device:
    topic: bytes
    incarnation: str
    made: int = 0
    acked: int = 0
    waiting: dict[int, bytes] = field(default_factory=dict)
    sent_s: float = 0.0


def incarnation(device: str, life: str) -> str:
    """A device's incarnation in one run."""
    return sha256(f"{device}{life}".encode()).hexdigest()[:32]


class WindowSender:
    """The devices of one process."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._devices = {
            name: _Device(text(topics.up(name, "telemetry")), incarnation(name, load.life)) for name in load.device_ids
        }
        self._idle = deque(self._devices.values())
        self._tails = _tails()
        self._in_flight = 0
        self.acked = 0
        self._out: list[bytes] = []
        self._socket, self._incoming = _connect(load)

    @property
    def made(self) -> dict[str, int]:
        """How many windows each device has made."""
        return {name: device.made for name, device in self._devices.items()}

    @property
    def through(self) -> dict[str, int]:
        """How far each device's windows are acknowledged."""
        return {name: device.acked for name, device in self._devices.items()}

    @property
    def waiting(self) -> int:
        """Windows that are not acknowledged."""
        return self._in_flight

    def send_new(self) -> bool:
        """One device that waits for nothing makes its next windows and sends them; whether there was room."""
        if not self._idle or self._in_flight + self._load.burst > self._load.in_flight:
            return False
        device = self._idle.popleft()
        for _ in range(self._load.burst):
            device.made += 1
            device.waiting[device.made] = self._window(device, device.made)
        self._in_flight += self._load.burst
        self._send(device)
        return True

    def send_again(self, older_than_s: float) -> None:
        """Send what was not acknowledged in so many seconds once more."""
        before = time.monotonic() - older_than_s
        for device in self._devices.values():
            if device.waiting and device.sent_s <= before:
                self._send(device)
        self.flush()

    def hear(self, timeout_s: float) -> None:
        """Take acknowledgements for at most so long."""
        if select.select([self._socket], [], [], timeout_s)[0]:
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise ConnectionError("the broker has gone")
            self._incoming += data
            self._take()

    def forget(self) -> None:
        """For a subscriber that acknowledges nothing: what was sent is done with."""
        for device in self._devices.values():
            if device.waiting:
                device.waiting.clear()
                self._idle.append(device)
        self._in_flight = 0

    def send_some(self) -> bool:
        """As many new windows as one write may hold; whether there were any."""
        some = False
        for _ in range(max(1, FRAMES_A_WRITE // self._load.burst)):
            some = self.send_new() or some
        self.flush()
        return some

    def flush(self) -> None:
        """Write what was sent."""
        if self._out:
            self._socket.sendall(b"".join(self._out))
            self._out.clear()

    def _send(self, device: _Device) -> None:
        device.sent_s = time.monotonic()
        self._out.extend(device.waiting.values())

    def _window(self, device: _Device, seq: int) -> bytes:
        oldest = next(iter(device.waiting), seq)
        body = (
            f'{{"schema_version":1,"incarnation":"{device.incarnation}","seq":{seq},"first_kept_seq":{oldest},'
            f"{random.choice(self._tails)}"
        )
        return frame(0x30, device.topic + body.encode())

    def _take(self) -> None:
        at = 0
        while (found := next_frame(self._incoming, at)) is not None:
            begin, end = found
            if self._incoming[at] & 0xF0 == 0x30:
                size = int.from_bytes(self._incoming[begin : begin + 2], "big")
                topic = self._incoming[begin + 2 : begin + 2 + size].decode()
                self._heard(topic, self._incoming[begin + 2 + size : end])
            at = end
        self._incoming = self._incoming[at:]

    def _heard(self, topic: str, data: bytes) -> None:
        if topic == topics.HELLO:
            self.send_again(0)
            return
        told = json.loads(data)
        device = self._devices.get(topic.split("/")[3])
        if device is None or told["incarnation"] != device.incarnation or told["through"] <= device.acked:
            return
        for seq in range(device.acked + 1, told["through"] + 1):
            if device.waiting.pop(seq, None) is not None:
                self._in_flight -= 1
                self.acked += 1
        device.acked = told["through"]
        if not device.waiting:
            self._idle.append(device)


def publish(load: Load, orders: Connection, acked: Any) -> None:
    """A process that sends windows until they are acknowledged.

    Args:
        load: what to send.
        orders: takes "stop" (make no more), "through" (answers how far each device is acknowledged), "waiting"
            (answers how many windows are not) and "end" (answers how many windows each device made).
        acked: a shared counter, kept up to date.
    """
    publisher, making, again_s = WindowSender(load), True, time.monotonic()
    orders.send("ready")
    while True:
        while making and publisher.send_some():
            publisher.hear(0)
            acked.value = publisher.acked
        publisher.hear(0.01)
        acked.value = publisher.acked
        if time.monotonic() - again_s > 1:
            publisher.send_again(RESEND_S)
            again_s = time.monotonic()
        if orders.poll():
            order = orders.recv()
            if order == "end":
                orders.send(publisher.made)
                return
            making = making and order != "stop"
            orders.send(publisher.through if order == "through" else publisher.waiting)


def pour(load: Load, orders: Connection, sent: Any, total: Sequence[Any], counted: Any) -> None:
    """A process that sends to a subscriber that acknowledges nothing, and stays just ahead of it.

    Args:
        load: what to send.
        orders: ends it with any order.
        sent: a shared counter, kept up to date.
        total: those of all such processes.
        counted: the subscriber's; `load.in_flight` may be on their way in all.
    """
    publisher = WindowSender(load)
    orders.send("ready")
    while not orders.poll():
        if sum(one.value for one in total) + FRAMES_A_WRITE <= counted.value + load.in_flight and publisher.send_some():
            sent.value += publisher.waiting
            publisher.forget()
        else:
            time.sleep(0.0005)


def count(port: int, orders: Connection, counted: Any) -> None:
    """A process with a paho subscriber that only counts: the reference."""

    subscribed = threading.Event()

    def one_more(_client: mqtt.Client, _userdata: object, _message: mqtt.MQTTMessage) -> None:
        counted.value += 1

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.on_message = one_more
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe(topics.up_filters("telemetry"), 0)
    subscribed.wait()
    orders.send("ready")
    orders.send(os.getpid())
    orders.recv()
    client.disconnect()
    client.loop_stop()


def _tails() -> list[str]:
    """What follows seq in a window: a minute of some hundred answers, another sketch each."""
    rng = random.Random(5)
    tails = []
    for _ in range(SKETCHES):
        histogram, requests = LatencyHistogram(), rng.randint(60, 600)
        middle_s, spread = rng.uniform(0.001, 0.02), rng.uniform(0.2, 0.6)
        for _ in range(requests):
            histogram.record(middle_s * rng.lognormvariate(0, spread))
        told = {
            "model": "fashion",
            "model_version": 1,
            "variant": VARIANT,
            "generation": 1,
            "duration_ms": 60_000 + rng.randint(0, 500),
            "started_ms": int(time.time() * 1000) - rng.randint(60_000, 90_000),
            "clock_trusted": True,
            "requests": requests,
            "latency": histogram.encode(),
            "labelled": requests // 10,
            "correct": requests // 11,
            "predicted": {name: rng.randint(1, requests // 5) for name in CLASSES},
        }
        tails.append(json.dumps(told, separators=(",", ":"))[1:])
    return tails


def _connect(load: Load) -> tuple[socket.socket, bytes]:
    """A connection that hears acknowledgements, and what has come on it already."""
    connection = socket.create_connection(("127.0.0.1", load.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    name = f"load-{random.SystemRandom().randrange(2**32):x}"
    connection.sendall(frame(0x10, text("MQTT") + b"\x04\x02\x00\x00" + text(name)))
    filters = (topics.acked("+"), topics.HELLO)
    connection.sendall(frame(0x82, b"\x00\x01" + b"".join(text(one) + b"\x00" for one in filters)))
    incoming, at = b"", 0
    while True:  # a message that we subscribed to may come before the confirmation: it is left out, as one before that
        found = next_frame(incoming, at)
        if found is None:
            incoming += connection.recv(READ_BYTES)
        elif incoming[at] & 0xF0 == SUBACK:
            return connection, incoming[found[1] :]
        else:
            at = found[1]
