"""A paho client that reads what has come at once.

Paho looks at its socket once for every message and reads it in four pieces. Each of these lets go of the interpreter,
and beside a thread that computes it is got back late: telemetry of a whole fleet came half as fast.
"""

import socket
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode

READ_BYTES = 64 * 1024
MOST_PACKETS = 256
"""How many are taken before something may be sent again."""


class BufferedSocket:
    """A connection whose bytes are read ahead; `pending` says how many lie here, as an SSL socket does."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._unread = memoryview(b"")

    def recv(self, size_bytes: int) -> bytes:
        """At most so many bytes; none once the other end has closed.

        Raises:
            BlockingIOError: nothing has come yet.
        """
        if not self._unread:
            self._unread = memoryview(self._connection.recv(READ_BYTES))
        part, self._unread = self._unread[:size_bytes], self._unread[size_bytes:]
        return bytes(part)

    def pending(self) -> int:
        """How many bytes can be had without asking the system."""
        below = getattr(self._connection, "pending", None)
        return len(self._unread) + (below() if below else 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class QuickClient(mqtt.Client):
    """As paho's, with a buffer; where paho knows no `_create_socket`, it is paho's, and slower."""

    def _create_socket(self) -> socket.socket:
        buffered: Any = BufferedSocket(super()._create_socket())
        return buffered  # type: ignore[no-any-return]

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Take the packets that have come already."""
        code = super().loop_read(max_packets)
        for _ in range(MOST_PACKETS):
            held = getattr(self.socket(), "pending", None)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or held is None or not held():
                break
            code = super().loop_read(max_packets)
        return code
