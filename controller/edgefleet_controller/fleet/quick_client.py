"""A paho client that reads everything available at once.

Paho polls its socket for every message, reads it in four pieces, and makes some twenty objects of it. Each read
releases the GIL, and next to a busy thread it comes back late, which halved the rate at which a fleet's telemetry came
in. Here one read takes all that is there, messages with QoS 0 are cut out of it whole, and paho handles the rest.
"""

import socket
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

READ_BYTES = 64 * 1024
MOST_PACKETS = 256
"""How many packets to take before sending again."""
PUBLISH = 0x30
"""The first byte of a PUBLISH with QoS 0, not retained and not a duplicate (MQTT 3.1.1, section 3.3.1)."""

OnPlain = Callable[[bytes, bytes], None]


class BufferedSocket:
    """A connection that reads ahead; as on an SSL socket, `pending` says how many bytes are buffered."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._read, self._at = b"", 0

    def recv(self, size_bytes: int) -> bytes:
        """At most `size_bytes` bytes; b"" once the other end has closed.

        Raises:
            BlockingIOError: nothing has arrived yet.
        """
        if self._at == len(self._read):
            self._read, self._at = self._connection.recv(READ_BYTES), 0
        begin, self._at = self._at, min(self._at + size_bytes, len(self._read))
        return self._read[begin : self._at]

    def pending(self) -> int:
        """How many bytes can be read without a system call."""
        below = getattr(self._connection, "pending", None)
        return len(self._read) - self._at + (below() if below else 0)

    def message(self) -> tuple[bytes, bytes] | None:
        """Topic and data of the next message, if it is complete and has QoS 0."""
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
    """paho's client with a buffer; no faster than paho's for MQTT other than 3.1.1, or without `_create_socket`.

    `on_plain` gets topic and data of messages with QoS 0, and must not raise; all other messages go to `on_message`.
    """

    on_plain: OnPlain | None = None

    def _create_socket(self) -> socket.socket:
        buffered: Any = BufferedSocket(super()._create_socket())
        return buffered  # type: ignore[no-any-return]

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Take all packets that have arrived; paho reads the first one, to note that the connection is alive."""
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
        """Whether paho has not yet read any of the next packet."""
        return getattr(self, "_in_packet", {}).get("command") == 0
