"""A paho client that reads what has come at once.

Paho looks at its socket once for every message, reads it in four pieces, and makes some twenty objects of it. Each read
lets go of the interpreter, and beside a thread that computes it is got back late: telemetry of a whole fleet came half
as fast. Here one read takes all that is there, and messages that ask for no acknowledgement are taken out of it whole;
whatever else lies there is paho's.
"""

import socket
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

READ_BYTES = 64 * 1024
MOST_PACKETS = 256
"""How many are taken before something may be sent again."""
PUBLISH = 0x30
"""The first byte of a message with QoS 0, sent for the first time and not retained (MQTT 3.1.1, section 3.3.1)."""

OnPlain = Callable[[bytes, bytes], None]


class BufferedSocket:
    """A connection whose bytes are read ahead; `pending` says how many lie here, as an SSL socket does."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._read, self._at = b"", 0

    def recv(self, size_bytes: int) -> bytes:
        """At most so many bytes; none once the other end has closed.

        Raises:
            BlockingIOError: nothing has come yet.
        """
        if self._at == len(self._read):
            self._read, self._at = self._connection.recv(READ_BYTES), 0
        begin, self._at = self._at, min(self._at + size_bytes, len(self._read))
        return self._read[begin : self._at]

    def pending(self) -> int:
        """How many bytes can be had without asking the system."""
        below = getattr(self._connection, "pending", None)
        return len(self._read) - self._at + (below() if below else 0)

    def message(self) -> tuple[bytes, bytes] | None:
        """Topic and data of the message that lies next, if it is whole and asks for no acknowledgement."""
        read, at = self._read, self._at + 1
        if at >= len(read) or read[at - 1] != PUBLISH:
            return None
        length = shift = 0
        more = True
        while more:
            if at == len(read) or shift > 21:
                return None
            length |= (read[at] & 127) << shift
            more = read[at] > 127
            shift, at = shift + 7, at + 1
        topic_at, end = at + 2, at + length
        topic_end = topic_at + int.from_bytes(read[at:topic_at], "big")
        if not topic_end <= end <= len(read):
            return None
        self._at = end
        return read[topic_at:topic_end], read[topic_end:end]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class QuickClient(mqtt.Client):
    """Paho's with a buffer; as slow as paho's in versions other than 3.1.1, and where it has no `_create_socket`.

    `on_plain` is given topic and data of messages that ask for no acknowledgement; those that it does not get, come
    to `on_message`. It must not raise.
    """

    on_plain: OnPlain | None = None

    def _create_socket(self) -> socket.socket:
        buffered: Any = BufferedSocket(super()._create_socket())
        return buffered  # type: ignore[no-any-return]

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Take the packets that have come already; the first is always paho's, which notes that something came."""
        code = super().loop_read(max_packets)
        # MQTT 5 puts properties between topic and data.
        on_plain = self.on_plain if self.protocol == MQTTProtocolVersion.MQTTv311 else None
        for _ in range(MOST_PACKETS):
            held = self.socket()
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or not isinstance(held, BufferedSocket) or not held.pending():
                break
            if on_plain and self._between_packets and (message := held.message()):
                on_plain(*message)
            else:
                code = super().loop_read(max_packets)
        return code

    @property
    def _between_packets(self) -> bool:
        """Whether paho has not read a part of the next packet."""
        return getattr(self, "_in_packet", {}).get("command") == 0
