"""The controller's bus, on real brokers: it always comes back, says so, and never dies of a message."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgefleet_controller.errors import ControllerError
from edgefleet_controller.fleet.bus import MAX_PUBLISH_BYTES, WINDOW, ControllerBus, MessageTooLarge, UnusableAddress
from edgefleet_protocol import topics

pytestmark = pytest.mark.broker

REPORTED = topics.up("cam-7", "reported")
DESIRED = topics.desired("cam-7")
CHUNKS = topics.blob("ab" * 32, "wifi")
WAIT_S = 30


class Listener:
    """A device as far as MQTT goes: subscribes, keeps what it gets, and speaks."""

    def __init__(self, port: int, *filters: str) -> None:
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _, __, message: self.heard.put((message.topic, bytes(message.payload)))
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if filters:
            self._client.subscribe([(name, 0) for name in filters])
            assert self._subscribed.wait(WAIT_S)

    def say(self, topic: str, data: bytes) -> None:
        self._client.publish(topic, data, qos=1).wait_for_publish(WAIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Recorder:
    """What a bus told its owner."""

    def __init__(self) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.subscriptions = 0
        self.fails = False

    def on_message(self, topic: str, data: bytes) -> None:
        if self.fails:
            raise RuntimeError("as a test wants it")
        self.messages.put((topic, data))

    def on_subscribed(self) -> None:
        self.subscriptions += 1


def wait_until(condition: Callable[[], bool], timeout_s: float = 2 * WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def make_bus(recorder: Recorder) -> Iterator[Callable[..., ControllerBus]]:
    """Makes buses that are started, and stopped with the test."""
    buses: list[ControllerBus] = []

    def make(url: str, on_subscribed: Callable[[], None] = recorder.on_subscribed, **options: Any) -> ControllerBus:
        bus = ControllerBus(url, **options)
        buses.append(bus)
        bus.start(recorder.on_message, on_subscribed)
        return bus

    yield make
    for bus in buses:
        bus.stop()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Makes listeners that are closed with the test."""
    listeners: list[Listener] = []

    def make(port: int, *filters: str) -> Listener:
        listeners.append(Listener(port, *filters))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


MakeBus = Callable[..., ControllerBus]
Listen = Callable[..., Listener]


def test_every_kind_of_message_from_devices_arrives(
    any_broker: Any, make_bus: MakeBus, listen: Listen, recorder: Recorder
) -> None:
    bus = make_bus(any_broker.url)
    wait_until(lambda: bus.connected)
    device = listen(any_broker.port)
    for kind in topics.UP_KINDS:
        device.say(topics.up("cam-7", kind), kind.encode())
    heard = {recorder.messages.get(timeout=WAIT_S) for _ in topics.UP_KINDS}
    assert heard == {(topics.up("cam-7", kind), kind.encode()) for kind in topics.UP_KINDS}
    assert bus.counters.received == 4


def test_on_subscribed_may_publish_and_is_told_once_a_connection(
    any_broker: Any, make_bus: MakeBus, listen: Listen
) -> None:
    device = listen(any_broker.port, topics.HELLO)
    calls: list[bool] = []

    known = threading.Event()

    def say_hello() -> None:
        assert known.wait(WAIT_S)
        calls.append(bus.connected)
        bus.publish(topics.HELLO, b"hello")

    bus = make_bus("mqtt://127.0.0.1:1", on_subscribed=say_hello)  # nobody is there
    bus.stop()
    bus = make_bus(any_broker.url, on_subscribed=say_hello)
    known.set()
    assert device.heard.get(timeout=WAIT_S) == (topics.HELLO, b"hello")
    assert calls == [True]


def test_it_comes_back_after_the_broker_was_killed_and_says_so(
    any_broker: Any, make_bus: MakeBus, listen: Listen, recorder: Recorder
) -> None:
    bus = make_bus(any_broker.url)
    wait_until(lambda: recorder.subscriptions == 1)
    any_broker.kill()
    wait_until(lambda: not bus.connected)
    bus.publish(topics.HELLO, b"into the void")
    assert bus.counters.unsent == 1
    time.sleep(0.5)
    any_broker.start()
    wait_until(lambda: recorder.subscriptions == 2)
    listen(any_broker.port).say(REPORTED, b"I am back as well")
    assert recorder.messages.get(timeout=WAIT_S) == (REPORTED, b"I am back as well")
    assert bus.counters.connections == 2


def test_a_retained_message_survives_a_broker_that_was_away(
    any_broker: Any, make_bus: MakeBus, listen: Listen, recorder: Recorder
) -> None:
    any_broker.stop()
    any_broker.wipe_store()
    bus = make_bus(any_broker.url)
    for generation in (b"1", b"2"):
        bus.publish(DESIRED, generation, retain=True)
    any_broker.start()
    wait_until(lambda: recorder.subscriptions == 1)
    late = listen(any_broker.port, DESIRED)
    assert late.heard.get(timeout=20) == (DESIRED, b"2")


def test_a_retained_message_that_was_acknowledged_is_not_sent_again(
    any_broker: Any, make_bus: MakeBus, listen: Listen, recorder: Recorder
) -> None:
    bus = make_bus(any_broker.url)
    wait_until(lambda: recorder.subscriptions == 1)
    device = listen(any_broker.port, topics.desired("+"))
    for number in range(50):
        bus.publish(topics.desired(f"cam-{number}"), b"state", retain=True)
    assert sorted(device.heard.get(timeout=WAIT_S)[0] for _ in range(50)) == sorted(
        topics.desired(f"cam-{number}") for number in range(50)
    )
    wait_until(lambda: all(info is not None and info.is_published() for _, info in list(bus._retained.values())))
    device.close()
    any_broker.kill()
    wait_until(lambda: not bus.connected)
    any_broker.start()
    wait_until(lambda: recorder.subscriptions == 2)
    assert bus.counters.sent == 50


def test_a_callback_that_raises_does_not_end_the_connection(
    any_broker: Any, make_bus: MakeBus, listen: Listen, recorder: Recorder
) -> None:
    bus = make_bus(any_broker.url)
    wait_until(lambda: bus.connected)
    device = listen(any_broker.port)
    recorder.fails = True
    for _ in range(3):
        device.say(REPORTED, b"bad")
    wait_until(lambda: bus.counters.callbacks_failed == 3)
    recorder.fails = False
    device.say(REPORTED, b"good")
    assert recorder.messages.get(timeout=WAIT_S) == (REPORTED, b"good")
    assert bus.counters.connections == 1


def test_an_on_subscribed_that_raises_does_not_end_the_connection(
    broker: Any, make_bus: MakeBus, listen: Listen, recorder: Recorder
) -> None:
    def fail() -> None:
        raise RuntimeError("as a test wants it")

    bus = make_bus(broker.url, on_subscribed=fail)
    wait_until(lambda: bus.counters.callbacks_failed == 1)
    listen(broker.port).say(REPORTED, b"good")
    assert recorder.messages.get(timeout=WAIT_S) == (REPORTED, b"good")


def test_one_publish_serves_every_listener(any_broker: Any, make_bus: MakeBus, listen: Listen) -> None:
    bus = make_bus(any_broker.url)
    wait_until(lambda: bus.connected)
    devices = [listen(any_broker.port, CHUNKS) for _ in range(8)]
    stop = threading.Event()
    for index in range(60):
        assert bus.publish_chunk(CHUNKS, bytes([index]) * 48 * 1024, stop)
    for device in devices:
        assert [device.heard.get(timeout=WAIT_S)[1][0] for _ in range(60)] == list(range(60))
    assert bus.counters.sent == 60
    assert bus.counters.sent_bytes == 60 * 48 * 1024


def test_chunks_wait_for_acknowledgements_and_go_on_with_them(
    any_broker: Any, make_bus: MakeBus, listen: Listen
) -> None:
    bus = make_bus(any_broker.url)
    wait_until(lambda: bus.connected)
    device = listen(any_broker.port, CHUNKS)
    results: queue.Queue[bool] = queue.Queue()

    def send() -> None:
        for _ in range(WINDOW + 10):
            results.put(bus.publish_chunk(CHUNKS, bytes(4096), threading.Event()))

    any_broker.suspend()
    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait_until(lambda: results.qsize() == WINDOW)
        time.sleep(0.3)
        assert results.qsize() == WINDOW
    finally:
        any_broker.resume()
    sender.join(2 * WAIT_S)
    assert [results.get_nowait() for _ in range(WINDOW + 10)] == [True] * (WINDOW + 10)
    for _ in range(WINDOW + 10):
        device.heard.get(timeout=WAIT_S)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_chunk_that_waits_is_given_up_with_the_connection_or_on_demand(
    any_broker: Any, make_bus: MakeBus, end: str
) -> None:
    bus = make_bus(any_broker.url)
    wait_until(lambda: bus.connected)
    results: queue.Queue[bool] = queue.Queue()
    stop = threading.Event()

    def send() -> None:
        for _ in range(WINDOW + 1):
            results.put(bus.publish_chunk(CHUNKS, bytes(4096), stop))

    any_broker.suspend()
    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait_until(lambda: results.qsize() == WINDOW)
        started = time.monotonic()
        if end == "stop":
            stop.set()
        else:
            any_broker.kill()
        sender.join(2 * WAIT_S)
        assert time.monotonic() - started < 8
        assert [results.get_nowait() for _ in range(WINDOW + 1)] == [True] * WINDOW + [False]
    finally:
        if end == "stop":
            any_broker.resume()


def test_without_a_connection_no_chunk_is_sent(make_bus: MakeBus) -> None:
    bus = make_bus("mqtt://127.0.0.1:1")
    assert not bus.publish_chunk(CHUNKS, b"x", threading.Event())


def test_a_message_that_no_broker_takes_never_reaches_one(broker: Any, make_bus: MakeBus) -> None:
    bus = make_bus(broker.url)
    wait_until(lambda: bus.connected)
    with pytest.raises(MessageTooLarge) as refused:
        bus.publish(DESIRED, bytes(MAX_PUBLISH_BYTES + 1), retain=True)
    assert isinstance(refused.value, ControllerError)
    with pytest.raises(MessageTooLarge):
        bus.publish_chunk(CHUNKS, bytes(MAX_PUBLISH_BYTES + 1), threading.Event())
    bus.publish(DESIRED, bytes(MAX_PUBLISH_BYTES), retain=True)
    time.sleep(0.3)
    assert bus.connected
    assert bus.counters.connections == 1


def test_a_broker_that_fell_silent_is_left_and_found_again(
    any_broker: Any, make_bus: MakeBus, recorder: Recorder
) -> None:
    bus = make_bus(any_broker.url, silence_s=1.0)
    wait_until(lambda: recorder.subscriptions == 1)
    any_broker.suspend()
    try:
        wait_until(lambda: not bus.connected, 6)
    finally:
        any_broker.resume()
    wait_until(lambda: recorder.subscriptions == 2)


def test_a_quiet_connection_is_kept(any_broker: Any, make_bus: MakeBus, recorder: Recorder) -> None:
    bus = make_bus(any_broker.url, silence_s=3.0)
    wait_until(lambda: recorder.subscriptions == 1)
    time.sleep(7)
    assert bus.connected
    assert recorder.subscriptions == 1


def test_stopping_is_quick_even_when_the_broker_hangs(any_broker: Any, make_bus: MakeBus) -> None:
    bus = make_bus(any_broker.url)
    wait_until(lambda: bus.connected)
    any_broker.suspend()
    started = time.monotonic()
    try:
        bus.stop()
    finally:
        any_broker.resume()
    assert time.monotonic() - started < 6
    assert not bus.connected


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:1883", "http://127.0.0.1", "mqtt://", "mqtt://h:99999", "mqtt://u:p@h:1883", "mqtt://h/x"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UnusableAddress, match="mqtt://HOST:PORT"):
        ControllerBus(url)
