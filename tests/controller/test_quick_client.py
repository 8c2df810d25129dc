"""A paho client with a buffer: what came in one piece is read in one, and nothing is lost at its seams."""

import queue
import socket
import threading
from collections.abc import Iterator

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from tests.conftest import Broker

from edgefleet_controller.fleet.quick_client import MOST_PACKETS, READ_BYTES, BufferedSocket, QuickClient


@pytest.fixture
def ends() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield BufferedSocket(ours), theirs


def test_bytes_come_in_the_pieces_that_are_asked_for(ends: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, other = ends
    other.sendall(b"abcdef")
    assert buffered.pending() == 0
    assert buffered.recv(1) == b"a"
    assert buffered.pending() == 5
    other.sendall(b"gh")
    assert [buffered.recv(4), buffered.recv(4), buffered.recv(4)] == [b"bcde", b"f", b"gh"]
    with pytest.raises(BlockingIOError):
        buffered.recv(1)
    other.close()
    assert buffered.recv(1) == b""


def test_the_rest_is_the_connections_own(ends: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, other = ends
    assert buffered.fileno() > 0
    buffered.send(b"x")
    assert other.recv(1) == b"x"


def published(topic: bytes, data: bytes, first: int = 0x30) -> bytes:
    """A message as MQTT 3.1.1 has it."""
    rest = len(topic).to_bytes(2, "big") + topic + data
    length, left = bytearray(), len(rest)
    while left or not length:
        length.append(left & 127 | (128 if left > 127 else 0))
        left >>= 7
    return bytes([first]) + bytes(length) + rest


@pytest.mark.parametrize("size", [0, 100, 130, 20_000])
def test_a_message_is_taken_out_whole_or_not_at_all(ends: tuple[BufferedSocket, socket.socket], size: int) -> None:
    buffered, other = ends
    packet = published(b"a/b", b"x" * size)
    other.sendall(b"?" + packet[:-1])
    buffered.recv(1)
    assert buffered.message() is None
    other.sendall(packet[-1:] + packet + b"!")
    buffered.recv(buffered.pending())  # what paho would do with a packet that came in two parts
    assert buffered.recv(1) == packet[-1:]
    assert buffered.message() == (b"a/b", b"x" * size)
    assert (buffered.recv(1), buffered.message(), buffered.pending()) == (b"!", None, 0)


@pytest.mark.parametrize(
    "packet",
    [
        published(b"a", b"x", first=0x31),
        published(b"a", b"x", first=0x32),
        b"\xd0\x00",
        b"\x30",
        b"\x30\x00",
        b"\x30\x03\x00\x05a",
        b"\x30\xff\xff\xff\xff\x01",
    ],
    ids=["retained", "acknowledged", "an answer to a ping", "half", "empty", "a topic beyond its end", "no length"],
)
def test_whatever_else_lies_there_is_left_to_paho(ends: tuple[BufferedSocket, socket.socket], packet: bytes) -> None:
    buffered, other = ends
    other.sendall(b"?" + packet + bytes(300))
    assert (buffered.recv(1), buffered.message()) == (b"?", None)
    assert buffered.recv(1000) == packet + bytes(300)


@pytest.mark.parametrize(
    ("version", "connected", "properties", "plainly"),
    [
        (MQTTProtocolVersion.MQTTv311, b"\x20\x02\x00\x00", b"", True),
        (MQTTProtocolVersion.MQTTv5, b"\x20\x03\x00\x00\x00", b"\x00", False),
    ],
    ids=["3.1.1", "5"],
)
def test_only_what_is_laid_out_as_in_mqtt_3_1_1_is_taken_out(
    version: MQTTProtocolVersion, connected: bytes, properties: bytes, plainly: bool
) -> None:
    heard: list[tuple[str, bytes]] = []
    plain: list[tuple[bytes, bytes]] = []
    client = QuickClient(CallbackAPIVersion.VERSION2, protocol=version)
    client.on_message = lambda _, __, message: heard.append((message.topic, bytes(message.payload)))
    client.on_plain = lambda topic, data: plain.append((topic, data))
    with socket.create_server(("127.0.0.1", 0)) as server:
        client.connect("127.0.0.1", server.getsockname()[1])
        broker, _ = server.accept()
        with broker:
            broker.sendall(connected + 3 * published(b"a/b", properties + b"x"))
            while len(heard) + len(plain) < 3:
                assert client.loop(10) == MQTTErrorCode.MQTT_ERR_SUCCESS
            client.disconnect()
    assert (heard, plain) == (([], [(b"a/b", b"x")] * 3) if plainly else ([("a/b", b"x")] * 3, []))


@pytest.mark.broker
@pytest.mark.parametrize("plainly", [True, False])
def test_more_messages_than_one_read_holds_come_whole_and_in_order(any_broker: Broker, plainly: bool) -> None:
    heard: queue.Queue[bytes] = queue.Queue()
    subscribed, many_lie_there = threading.Event(), threading.Event()
    client = QuickClient(CallbackAPIVersion.VERSION2)

    def hear(data: bytes) -> None:
        assert many_lie_there.wait(30)
        heard.put(data)

    client.on_message = lambda _, __, message: hear(bytes(message.payload))
    plain: list[bytes] = []
    if plainly:
        client.on_plain = lambda topic, data: (hear(data), plain.append(topic))
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", any_broker.port)
    assert isinstance(client.socket(), BufferedSocket), "paho has another way to make its connection"
    client.loop_start()
    speaker = mqtt.Client(CallbackAPIVersion.VERSION2)
    speaker.connect("127.0.0.1", any_broker.port)
    speaker.loop_start()
    try:
        client.subscribe("quick/#")
        assert subscribed.wait(30)
        said = [b"%d " % number * (1 + number % 400) for number in range(4 * MOST_PACKETS)]
        assert sum(map(len, said)) > 8 * READ_BYTES
        for number, data in enumerate(said):
            told = speaker.publish(f"quick/{number % 7}", data, qos=1)
            if number == 200:
                told.wait_for_publish(30)
                many_lie_there.set()
        assert [heard.get(timeout=30) for _ in said] == said
        assert bool(plain) == plainly, "most are taken out of what was read"
    finally:
        for one in (client, speaker):
            one.disconnect()
            one.loop_stop()
