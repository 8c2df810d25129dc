"""What passes on a link, read from its packets: TCP connections and their ends, and the MQTT messages that arrive."""

import struct
from dataclasses import dataclass, field

from benchmarks.mqtt_frames import PUBLISH, next_frame, published

TCP, SYN, FIN, RST, ACK = 6, 0x02, 0x01, 0x04, 0x10
WRAP, HALF = 1 << 32, 1 << 31


@dataclass(frozen=True)
class Segment:
    """A TCP segment of an IPv4 packet."""

    source_port: int
    port: int
    seq: int
    flags: int
    payload: bytes


def segment(packet: bytes) -> Segment | None:
    """The segment in a packet; None if it holds another protocol."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != TCP:
        return None
    head = (packet[0] & 0x0F) * 4
    begin = head + (packet[head + 12] >> 4) * 4
    end = int.from_bytes(packet[2:4], "big")
    source_port, port, seq = struct.unpack_from(">HHI", packet, head)
    return Segment(source_port, port, seq, packet[head + 13], packet[begin:end])


@dataclass(frozen=True)
class PassedMessage:
    """An MQTT message as it came out of the link; only what is small keeps its payload."""

    at_s: float
    topic: str
    size_bytes: int
    payload: bytes


@dataclass
class Stream:
    """The bytes of one direction of a TCP connection, put in order again, and the MQTT messages in them."""

    next_seq: int
    _early: dict[int, bytes] = field(default_factory=dict)
    _bytes: bytearray = field(default_factory=bytearray)

    def take(self, seq: int, payload: bytes) -> list[tuple[str, bytes]]:
        """Take a segment's payload; the messages that are complete with it."""
        self._early[seq] = max(payload, self._early.get(seq, b""), key=len)
        while (at := self._in_order()) is not None:
            data = self._early.pop(at)[(self.next_seq - at) % WRAP :]
            self._bytes += data
            self.next_seq = (self.next_seq + len(data)) % WRAP
        return self._messages()

    def _in_order(self) -> int | None:
        """The first byte of a payload that begins where we are, or before."""
        return next((at for at in self._early if (self.next_seq - at) % WRAP < HALF), None)

    def _messages(self) -> list[tuple[str, bytes]]:
        messages, at = [], 0
        while (found := next_frame(self._bytes, at)) is not None:
            begin, end = found
            if self._bytes[at] & 0xF0 == PUBLISH:
                messages.append(published(self._bytes[at], bytes(self._bytes[begin:end])))
            at = end
        del self._bytes[:at]
        return messages


KEPT_BYTES = 4096


@dataclass
class Traffic:
    """What a device's connections to its broker do.

    Attributes:
        port: the broker's.
        connections: how many the device opened.
        cuts: how many the broker ended while the device still held them.
        messages: what came out of the link towards the device.
    """

    port: int
    connections: int = 0
    cuts: int = 0
    messages: list[PassedMessage] = field(default_factory=list)
    _open: set[int] = field(default_factory=set)
    _streams: dict[int, Stream] = field(default_factory=dict)

    def upward(self, packet: bytes) -> None:
        """A packet that the device sends."""
        one = segment(packet)
        if one is None or one.port != self.port:
            return
        if one.flags & (SYN | ACK) == SYN and one.source_port not in self._open:
            self._open.add(one.source_port)
            self.connections += 1
        if one.flags & (FIN | RST):
            self._open.discard(one.source_port)

    def downward(self, packet: bytes) -> None:
        """A packet that the broker's side sends, before it is in the queue."""
        one = segment(packet)
        if one is None or one.source_port != self.port or one.port not in self._open:
            return
        if one.flags & (FIN | RST):
            self._open.discard(one.port)
            self.cuts += 1

    def arrived(self, packet: bytes, now_s: float) -> None:
        """A packet that comes out of the link at the device."""
        one = segment(packet)
        if one is None or one.source_port != self.port:
            return
        if one.flags & SYN:
            self._streams[one.port] = Stream((one.seq + 1) % WRAP)
        elif one.payload and (stream := self._streams.get(one.port)):
            for topic, payload in stream.take(one.seq, one.payload):
                kept = payload if len(payload) <= KEPT_BYTES else b""
                self.messages.append(PassedMessage(now_s, topic, len(payload), kept))
