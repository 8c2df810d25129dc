"""A paho client with a buffer: what came in one piece is read in one, and nothing is lost at its seams."""

import queue
import socket
import threading
from collections.abc import Iterator

import pytest
from paho.mqtt.enums import CallbackAPIVersion
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


@pytest.mark.broker
def test_more_messages_than_one_read_holds_come_whole_and_in_order(any_broker: Broker) -> None:
    heard: queue.Queue[bytes] = queue.Queue()
    subscribed = threading.Event()
    client = QuickClient(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _, __, message: heard.put(bytes(message.payload))
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", any_broker.port)
    assert isinstance(client.socket(), BufferedSocket), "paho has another way to make its connection"
    client.loop_start()
    try:
        client.subscribe("quick/#")
        assert subscribed.wait(10)
        said = [b"%d " % number * (1 + number % 400) for number in range(4 * MOST_PACKETS)]
        assert sum(map(len, said)) > 8 * READ_BYTES
        for number, data in enumerate(said):
            client.publish(f"quick/{number % 7}", data, qos=1)
        assert [heard.get(timeout=20) for _ in said] == said
    finally:
        client.disconnect()
        client.loop_stop()
