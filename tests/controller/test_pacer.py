"""The pacer on real brokers: chunks arrive once, at the rate of their channel, and nothing ends it."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgefleet_controller.delivery.channels import GATHER_S, Want
from edgefleet_controller.delivery.pacer import Pacer
from edgefleet_controller.fleet.bus import ControllerBus
from edgefleet_protocol import topics
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import Bitmap, chunk_count, parse_frame

CHUNK = 4096


class Blobs(dict[str, bytes]):
    """Blobs by their digest."""

    def read_chunk(self, name: str, index: int, chunk_bytes: int) -> bytes | None:
        data = self.get(name)
        return None if data is None else data[index * chunk_bytes : (index + 1) * chunk_bytes]


class Device:
    """Subscribes to one blob on one channel, at QoS 0, and keeps the chunks."""

    def __init__(self, port: int, blob: str, channel: str, chunks: int) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.last = 0.0
        self._missing = Bitmap.full(chunks)
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _, __, message: self._receive(bytes(message.payload))
        self._client.on_connect = lambda client, *_: client.subscribe(topics.blob(blob, channel))
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(30)

    def _receive(self, data: bytes) -> None:
        got = parse_frame(data)
        self.frames.append((got.index, got.data))
        self._missing.clear(self.frames[-1][0])
        self.last = time.monotonic()

    @property
    def missing(self) -> list[int]:
        return list(self._missing)

    @property
    def content(self) -> bytes:
        return b"".join(dict(sorted(self.frames)).values())

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class FakeBus:
    """A bus that says no, or raises, as often as it is told to."""

    def __init__(self) -> None:
        self.connected = True
        self.refusals = 0
        self.errors = 0
        self.sent: list[int] = []

    def publish_chunk(self, topic: str, data: bytes, stop: threading.Event) -> bool:
        if self.errors:
            self.errors -= 1
            raise RuntimeError("as a test wants it")
        if self.refusals:
            self.refusals -= 1
            return False
        self.sent.append(parse_frame(data).index)
        return True


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def blobs() -> Blobs:
    """What the pacer can read, by digest."""
    return Blobs()


@pytest.fixture
def closing() -> Iterator[list[Callable[[], None]]]:
    """Called in turn at the end of the test."""
    calls: list[Callable[[], None]] = []
    yield calls
    for call in reversed(calls):
        call()


@pytest.fixture
def make_pacer(blobs: Blobs, closing: list[Callable[[], None]]) -> Callable[[Any], Pacer]:
    def make(bus: Any) -> Pacer:
        pacer = Pacer(bus, blobs)
        pacer.start()
        closing.append(pacer.stop)
        return pacer

    return make


@pytest.fixture
def make_bus(closing: list[Callable[[], None]]) -> Callable[[str], ControllerBus]:
    def make(url: str) -> ControllerBus:
        bus = ControllerBus(url)
        bus.start(lambda *_: None, lambda: None)
        closing.append(bus.stop)
        wait_until(lambda: bus.connected)
        return bus

    return make


@pytest.fixture
def listen(closing: list[Callable[[], None]]) -> Callable[..., Device]:
    def make(port: int, blob: str, channel: str, chunks: int) -> Device:
        device = Device(port, blob, channel, chunks)
        closing.append(device.close)
        return device

    return make


def add(blobs: Blobs, size_bytes: int) -> str:
    data = os.urandom(size_bytes)
    blobs[digest(data)] = data
    return digest(data)


def want(
    pacer: Pacer,
    blobs: Blobs,
    blob: str,
    missing: list[int] | None = None,
    *,
    channel: str = "wifi",
    kbps: float = 80_000,
) -> None:
    size = len(blobs[blob])
    chunks = chunk_count(size, CHUNK)
    wanted = Bitmap.full(chunks) if missing is None else Bitmap.of(chunks, missing)
    pacer.want(Want(channel, kbps, blob, CHUNK, size, wanted))


@pytest.mark.broker
def test_one_broadcast_serves_all_listeners_of_a_channel(
    any_broker: Any, make_bus: Any, make_pacer: Any, listen: Any, blobs: Blobs
) -> None:
    pacer = make_pacer(make_bus(any_broker.url))
    blob = add(blobs, 60 * CHUNK - 7)
    devices = [listen(any_broker.port, blob, "wifi", 60) for _ in range(5)]
    for device in devices:
        want(pacer, blobs, blob, device.missing)
    wait_until(lambda: not any(device.missing for device in devices))
    for device in devices:
        assert device.content == blobs[blob]
        assert [index for index, _ in device.frames] == list(range(60))
    assert pacer.bytes_sent() == {("wifi", blob): 60 * CHUNK - 7}


@pytest.mark.broker
def test_each_lane_is_paced_to_its_own_rate(
    any_broker: Any, make_bus: Any, make_pacer: Any, listen: Any, blobs: Blobs
) -> None:
    pacer = make_pacer(make_bus(any_broker.url))
    sizes = {"ethernet": (500, 20_000.0), "lte": (60, 2_000.0), "nb-2g": (6, 160.0)}  # chunks and kbit/s: 1 s or so
    expected_s = {channel: (chunks - 1) * CHUNK * 8 / (kbps * 1000) for channel, (chunks, kbps) in sizes.items()}
    names = {channel: add(blobs, chunks * CHUNK) for channel, (chunks, _) in sizes.items()}
    devices = {channel: listen(any_broker.port, names[channel], channel, sizes[channel][0]) for channel in sizes}
    started = time.monotonic()
    for channel, blob in names.items():
        want(pacer, blobs, blob, channel=channel, kbps=sizes[channel][1])
    wait_until(lambda: not any(device.missing for device in devices.values()))
    for channel, device in devices.items():
        took_s = device.last - started - GATHER_S
        assert took_s > 0.9 * expected_s[channel], channel
        assert took_s < 4 * expected_s[channel] + 2, channel  # on a busy machine


@pytest.mark.broker
def test_a_broadcast_goes_on_after_the_broker_came_back(
    any_broker: Any, make_bus: Any, make_pacer: Any, listen: Any, blobs: Blobs
) -> None:
    bus = make_bus(any_broker.url)
    pacer = make_pacer(bus)
    blob = add(blobs, 200 * CHUNK)
    device = listen(any_broker.port, blob, "wifi", 200)
    want(pacer, blobs, blob, kbps=6_000)
    wait_until(lambda: len(device.missing) < 150)
    any_broker.kill()
    wait_until(lambda: not bus.connected)
    time.sleep(0.2)
    any_broker.start()
    wait_until(lambda: bus.connected)
    deadline = time.monotonic() + 20
    while device.missing:  # as a device does: whatever was lost with the broker is asked for again
        assert time.monotonic() < deadline
        want(pacer, blobs, blob, device.missing, kbps=6_000)
        time.sleep(0.5)
    assert device.content == blobs[blob]


@pytest.mark.broker
def test_a_dropped_blob_ends_in_the_middle(
    broker: Any, make_bus: Any, make_pacer: Any, listen: Any, blobs: Blobs
) -> None:
    pacer = make_pacer(make_bus(broker.url))
    blob = add(blobs, 100 * CHUNK)
    device = listen(broker.port, blob, "wifi", 100)
    want(pacer, blobs, blob, kbps=1_000)
    wait_until(lambda: len(device.frames) > 5)
    pacer.drop(blob)
    time.sleep(0.3)
    sent = pacer.bytes_sent()[("wifi", blob)]
    time.sleep(0.5)
    assert pacer.bytes_sent()[("wifi", blob)] == sent < 100 * CHUNK


def test_a_chunk_that_was_not_sent_is_sent_when_the_bus_is_back(make_pacer: Any, blobs: Blobs) -> None:
    bus = FakeBus()
    pacer = make_pacer(bus)
    bus.refusals = 1
    blob = add(blobs, 5 * CHUNK)
    want(pacer, blobs, blob)
    wait_until(lambda: bus.refusals == 0)
    bus.connected = False
    time.sleep(0.3)
    before = len(bus.sent)
    time.sleep(0.2)
    assert len(bus.sent) == before
    bus.connected = True
    wait_until(lambda: len(bus.sent) == 5)
    assert bus.sent == [0, 1, 2, 3, 4]


def test_a_chunk_that_raises_is_dropped_and_the_next_ones_are_sent(
    make_pacer: Any, blobs: Blobs, caplog: pytest.LogCaptureFixture
) -> None:
    bus = FakeBus()
    bus.errors = 2
    pacer = make_pacer(bus)
    blob = add(blobs, 5 * CHUNK)
    with caplog.at_level(logging.ERROR):
        want(pacer, blobs, blob)
        wait_until(lambda: len(bus.sent) == 3)
    assert bus.sent == [2, 3, 4]
    assert "is dropped" in caplog.text


def test_a_blob_that_cannot_be_read_does_not_hold_up_the_others(make_pacer: Any, blobs: Blobs) -> None:
    bus = FakeBus()
    pacer = make_pacer(bus)
    there = add(blobs, 3 * CHUNK)
    gone = add(blobs, 3 * CHUNK + 1)
    content = blobs[gone]
    want(pacer, blobs, there)
    want(pacer, blobs, gone)
    del blobs[gone]
    wait_until(lambda: len(bus.sent) == 3)
    blobs[gone] = content
    want(pacer, blobs, gone)
    wait_until(lambda: len(bus.sent) == 7)
    assert pacer.bytes_sent() == {("wifi", there): 3 * CHUNK, ("wifi", gone): 3 * CHUNK + 1}


def test_stopping_is_quick(make_pacer: Any, blobs: Blobs) -> None:
    bus = FakeBus()
    bus.connected = False
    idle, waiting = make_pacer(bus), make_pacer(bus)
    want(waiting, blobs, add(blobs, CHUNK))
    time.sleep(0.2)
    started = time.monotonic()
    idle.stop()
    waiting.stop()
    assert time.monotonic() - started < 5


def test_a_want_that_makes_no_sense_is_counted(make_pacer: Any, blobs: Blobs) -> None:
    pacer = make_pacer(FakeBus())
    pacer.want(Want("wifi", 1000, "ab" * 32, CHUNK, size_bytes=0, missing=Bitmap(1)))
    assert pacer.refused == 1
