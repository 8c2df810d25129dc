"""An MQTT connection without a thread: hundreds of them are served by one loop."""

import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.mqtt_frames import (
    CONNECT,
    PING,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    UNSUBSCRIBE,
    frame,
    next_frame,
    published,
    text,
)

KEEPALIVE_S = 60
READ_BYTES = 1 << 18
QOS_1 = 0x02
_CLEAN, _PASSWORD, _USER = 0x02, 0x40, 0x80


@dataclass(frozen=True)
class WireBroker:
    """Where devices connect, and as whom."""

    host: str
    port: int
    username: str = ""
    password: str = ""


@dataclass(frozen=True)
class Heard:
    """A message, and when its last byte was received, on the monotonic clock."""

    topic: str
    payload: bytes
    arrived_s: float


@dataclass(frozen=True)
class Confirmed:
    """The broker's confirmation of a subscription, by its number."""

    number: int


class LightConnection:
    """One connection; what it cannot write at once it keeps for later.

    Raises:
        OSError: the broker is not there.
    """

    def __init__(self, broker: WireBroker, client_id: str) -> None:
        self.socket = socket.create_connection((broker.host, broker.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._in, self._out, self._number = bytearray(), bytearray(), 0
        self._received: deque[tuple[int, float]] = deque()  # so many bytes of `_in` had come by then
        flags, who = _CLEAN, b""
        if broker.username:
            flags, who = flags | _USER | _PASSWORD, text(broker.username) + text(broker.password)
        head = text("MQTT") + b"\x04" + bytes((flags,)) + KEEPALIVE_S.to_bytes(2, "big")
        self._send(frame(CONNECT, head + text(client_id) + who))

    def subscribe(self, *names: str) -> int:
        """Subscribe at QoS 0; the number that `Confirmed` will have."""
        topics = b"".join(text(name) + b"\x00" for name in names)
        self._send(frame(SUBSCRIBE, self._next_number() + topics))
        return self._number

    def unsubscribe(self, name: str) -> None:
        """Hear no more of a topic."""
        self._send(frame(UNSUBSCRIBE, self._next_number() + text(name)))

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """Send a message; with QoS 1, without waiting for its acknowledgement."""
        number = self._next_number() if qos else b""
        self._send(frame(PUBLISH | (QOS_1 if qos else 0), text(topic) + number + payload))

    def ping(self) -> None:
        """Say that we are still here."""
        self._send(frame(PING, b""))

    @property
    def has_more(self) -> bool:
        """Whether something is left to write."""
        return bool(self._out)

    def flush(self) -> None:
        """Write what is left."""
        self._send(b"")

    @property
    def has_received(self) -> bool:
        """Whether there is something to `read`."""
        return bool(self._received)

    def receive(self) -> None:
        """Take from the network what has come, and note when.

        Raises:
            ConnectionError: the broker has ended the connection.
        """
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("the broker has ended the connection")
        self._in += data
        self._received.append((len(self._in), time.monotonic()))

    def read(self) -> Iterator[Heard | Confirmed]:
        """What has been received."""
        stamps, self._received = self._received, deque()
        at = 0
        while (found := next_frame(self._in, at)) is not None:
            begin, end = found
            kind, body = self._in[at], bytes(self._in[begin:end])
            at = end
            while stamps[0][0] < end:
                stamps.popleft()
            if kind & 0xF0 == PUBLISH:
                yield Heard(*published(kind, body), stamps[0][1])
            elif kind == SUBACK:
                yield Confirmed(int.from_bytes(body[:2], "big"))
        del self._in[:at]

    def close(self) -> None:
        """End the connection as a power cut does."""
        self.socket.close()

    def _next_number(self) -> bytes:
        self._number = self._number % 65_535 + 1
        return self._number.to_bytes(2, "big")

    def _send(self, data: bytes) -> None:
        self._out += data
        try:
            while self._out:
                del self._out[: self.socket.send(self._out)]
        except BlockingIOError:
            pass
