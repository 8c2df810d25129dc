"""Somebody else on the broker who may publish anything: damaged, foreign, repeated and mixed-up chunks."""

import json
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

from edgefleet_protocol import topics
from edgefleet_protocol.chunks import SMALL_BLOB_CHUNK_BYTES, Bitmap, frame, parse_frame

MIX_UP = 5
"""So many chunks are kept back, and then sent again the last one first."""


class Meddler:
    """Meddles in the delivery of every large blob; in that of small ones only as often as `spoil_small` says.

    Args:
        broker_url: where.
        channel: on which channel.
        blobs: the controller's blobs, which it knows by heart.
        spoil_small: how many wants of each small blob are answered with damaged chunks before the controller answers.
    """

    def __init__(self, broker_url: str, channel: str, blobs: Path, spoil_small: int) -> None:
        self.sent: Counter[str] = Counter()
        self._channel, self._blobs, self._spoil_small = channel, blobs, spoil_small
        self._spoilt: Counter[str] = Counter()
        self._mine: set[bytes] = set()
        self._kept: list[bytes] = []
        self._foreign = b"from a blob of before"
        subscribed = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="meddler")
        every = [(f"{topics.ROOT}/up/#", 0), (topics.blob("+", "+"), 0)]
        self._client.on_connect = lambda client, *_: client.subscribe(every)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _, __, message: self._hear(message.topic, bytes(message.payload))
        parts = urlsplit(broker_url)
        self._client.connect(parts.hostname or "", parts.port or 1883)
        self._client.loop_start()
        assert subscribed.wait(30)

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, topic: str, message: bytes) -> None:
        if topic.endswith("/want"):
            self._spoil(json.loads(message))
        elif "/blobs/" in topic and message not in self._mine and self._is_ours(topic):
            self._meddle(topic, message)

    def _is_ours(self, topic: str) -> bool:
        return topics.parse_blob(topic).lane.channel == self._channel

    def _spoil(self, want: dict) -> None:
        """Answer a want of a small blob at once, with a chunk of the right size and the wrong bytes."""
        data = (self._blobs / want["blob"][:2] / want["blob"]).read_bytes()
        if len(data) > 16 * SMALL_BLOB_CHUNK_BYTES or self._spoilt[want["blob"]] >= self._spoil_small:
            return
        if not Bitmap.from_text(want["chunks"], want["missing"]).bits:
            return  # it only says that it listens no more
        lane = topics.Lane(self._channel, want["credit"]["pace"], want["chunk_bytes"])
        self._spoilt[want["blob"]] += 1
        for index in range(want["chunks"]):
            part = data[index * want["chunk_bytes"] : (index + 1) * want["chunk_bytes"]]
            wrong = frame(index, bytes([part[0] ^ 1]) + part[1:])
            for _ in range(3 if self._spoil_small > 2 else 1):  # at once: the right one is on its way
                self._send("spoilt", topics.blob(want["blob"], lane), wrong)

    def _meddle(self, topic: str, message: bytes) -> None:
        """A chunk of a large blob is under way: put all that may go wrong before and behind it."""
        got = parse_frame(message)
        index, data = got.index, got.data
        size = (self._blobs / topic.split("/")[3][:2] / topic.split("/")[3]).stat().st_size
        if size <= 16 * SMALL_BLOB_CHUNK_BYTES:
            return
        self._send("repeated", topic, message)
        self._send("damaged", topic, frame(index + 1, bytes([data[0] ^ 1]) + data[1:]))
        self._send("foreign", topic, frame(index + 2, self._foreign))
        self._send("cut off", topic, message[: len(message) // 2])
        self._send("beyond the end", topic, frame(2**31, data))
        self._send("no frame", topic, b"\x09junk")
        self._kept.append(message)
        if len(self._kept) == MIX_UP:
            for kept in reversed(self._kept):
                self._send("mixed up", topic, kept)
            self._kept.clear()
        self._foreign = data

    def _send(self, what: str, topic: str, message: bytes) -> None:
        self.sent[what] += 1
        self._mine.add(message)
        self._client.publish(topic, message)
