"""What a link does to packets: rate, delay, loss, hours, and a queue with an end. Pure rules that take `now`."""

import random
from collections import deque
from dataclasses import dataclass

PACKET_BYTES = 1500
LEAST_QUEUE = 20
"""Packets that any modem keeps; a queue that holds more seconds than that would be a fault of its own."""


@dataclass(frozen=True)
class LinkHours:
    """When a link carries anything: from `began_s` it is on for `on_s`, then off for `off_s`, and so on.

    While it is off, packets wait in the queue, and those that find it full are lost.
    """

    on_s: float
    off_s: float
    began_s: float

    def end_of(self, start_s: float, busy_s: float) -> float:
        """When something ends that takes `busy_s` seconds of a link that is on, from `start_s`."""
        while True:
            since_s = (start_s - self.began_s) % (self.on_s + self.off_s)
            if since_s >= self.on_s:
                start_s, since_s = start_s + self.on_s + self.off_s - since_s, 0.0
            left_s = self.on_s - since_s
            if busy_s <= left_s:
                return start_s + busy_s
            busy_s -= left_s
            start_s += left_s + self.off_s


@dataclass(frozen=True)
class LinkShape:
    """A link, the same in both directions; `loss` is the share of packets that never arrive, each way."""

    kbps: float
    rtt_ms: float = 60.0
    loss: float = 0.0

    @property
    def queue_bytes(self) -> int:
        """How much waits at its near end: twice what fills the link, and at least `LEAST_QUEUE` packets."""
        return int(max(LEAST_QUEUE * PACKET_BYTES, 2 * self.kbps / 8 * self.rtt_ms))

    def sending_s(self, size_bytes: int) -> float:
        """How long so many bytes are being sent."""
        return size_bytes * 8 / (self.kbps * 1000)

    def ideal_s(self, size_bytes: int, start_s: float = 0.0, hours: LinkHours | None = None) -> float:
        """Seconds that so many bytes take without headers and without a pause: the rate, half a round trip, the hours.

        Args:
            size_bytes: what is fetched.
            start_s: when that begins, on the clock of `hours`.
            hours: when the link is on; None: always.
        """
        busy_s = self.sending_s(size_bytes)
        took_s = hours.end_of(start_s, busy_s) - start_s if hours else busy_s
        return took_s + self.rtt_ms / 2000


class OneWay:
    """One direction of a link: takes packets, and gives them back when they have arrived.

    Args:
        shape: the link.
        seed: of the losses.
    """

    def __init__(self, shape: LinkShape, seed: int) -> None:
        self.shape = shape
        self.hours: LinkHours | None = None
        self.sent_bytes = self.lost = self.overflowed = 0
        self._draw = random.Random(seed)
        self._free_s = 0.0
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued_bytes = 0
        self._flying: deque[tuple[float, bytes]] = deque()

    def offer(self, packet: bytes, now_s: float) -> bool:
        """Take a packet; False if the queue is full, and the packet gone."""
        self._send(now_s)
        if self._queued_bytes + len(packet) > self.shape.queue_bytes:
            self.overflowed += 1
            return False
        busy_s, start_s = self.shape.sending_s(len(packet)), max(now_s, self._free_s)
        self._free_s = self.hours.end_of(start_s, busy_s) if self.hours else start_s + busy_s
        self._queue.append((self._free_s, packet))
        self._queued_bytes += len(packet)
        return True

    def arrived(self, now_s: float) -> list[bytes]:
        """The packets that have arrived until now, in order."""
        self._send(now_s)
        packets = []
        while self._flying and self._flying[0][0] <= now_s:
            packets.append(self._flying.popleft()[1])
        return packets

    def next_s(self) -> float | None:
        """When something happens next; None: nothing is under way."""
        times = [queue[0][0] for queue in (self._queue, self._flying) if queue]
        return min(times) if times else None

    def _send(self, now_s: float) -> None:
        while self._queue and self._queue[0][0] <= now_s:
            sent_s, packet = self._queue.popleft()
            self._queued_bytes -= len(packet)
            self.sent_bytes += len(packet)  # a packet that is lost has used the link
            if self._draw.random() < self.shape.loss:
                self.lost += 1
            else:
                self._flying.append((sent_s + self.shape.rtt_ms / 2000, packet))
