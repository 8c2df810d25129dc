"""What to send next on which channel: pure rules that take `now`.

A channel is a kind of link. Devices say which chunks they lack; a channel collects wants for a short while, sends each
wanted chunk once for all listeners, alternates between blobs, and keeps to the rate of its link. Devices ask again for
what they still lack, so a lost want costs only time.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from edgefleet_protocol.chunks import chunk_count

GATHER_S = 0.05
"""Devices of a wave ask at almost the same time; each listens before it asks, so it misses nothing meanwhile."""
GRACE_S = 0.1
GRACE_CHUNKS = 2
"""A chunk sent less than `GRACE_S` plus this many chunk intervals ago is still in transit, and is not sent again."""

BURST_S = 0.05
"""How far a delayed channel may exceed its rate to catch up, in seconds of sending."""

MAX_CHANNELS = 256
MAX_BLOBS = 256
MAX_CHUNKS = 8_000_000  # over all wanted blobs; each chunk takes a byte


@dataclass(frozen=True)
class Want:
    """The chunks of a blob that a device lacks.

    Attributes:
        channel: the kind of link.
        rate_kbps: the rate of the channel, in kbit/s; the latest want decides.
        blob: the digest of the blob.
        chunk_bytes: the size of its chunks, in bytes.
        size_bytes: the size of the blob, in bytes.
        missing: the indexes of the missing chunks.
        for_s: for how many seconds they may be sent; the latest of all wants for a blob decides.
    """

    channel: str
    rate_kbps: float
    blob: str
    chunk_bytes: int
    size_bytes: int
    missing: Iterable[int]
    for_s: float = math.inf

    @property
    def chunks(self) -> int:
        """How many chunks the blob has; 0 if a size isn't positive."""
        sound = self.chunk_bytes > 0 and self.size_bytes > 0
        return chunk_count(self.size_bytes, self.chunk_bytes) if sound else 0


@dataclass(frozen=True)
class Send:
    """A chunk that is due: send it, then call `Channels.settle`."""

    channel: str
    blob: str
    index: int
    chunk_bytes: int


@dataclass(frozen=True)
class Wait:
    """Nothing is due before `until`; None: nothing is wanted."""

    until: float | None


_Key = tuple[str, int]  # blob, chunk_bytes


@dataclass
class _Blob:
    """The wanted chunks of one blob, a byte for each, and the position of the broadcast."""

    wanted: bytearray
    until: float = -math.inf
    count: int = 0
    at: int = 0

    def add(self, index: int) -> None:
        self.count += not self.wanted[index]
        self.wanted[index] = 1

    def remove(self, index: int) -> None:
        self.count -= self.wanted[index]
        self.wanted[index] = 0
        self.at = index + 1

    def next_index(self) -> int:
        """The next wanted chunk, in a circle, so that repairs at the start don't delay the end."""
        found = self.wanted.find(1, self.at)
        return found if found >= 0 else self.wanted.find(1)


@dataclass
class _Channel:
    rate_kbps: float
    due: float
    blobs: OrderedDict[_Key, _Blob] = field(default_factory=OrderedDict)
    left: OrderedDict[tuple[_Key, int], float] = field(default_factory=OrderedDict)
    """When chunks were sent, oldest first, for the grace period."""

    def seconds(self, size_bytes: int) -> float:
        return size_bytes * 8 / (self.rate_kbps * 1000)

    def forget_left(self, now: float) -> None:
        while self.left:
            (key, index), at = next(iter(self.left.items()))
            if now - at < GRACE_S + GRACE_CHUNKS * self.seconds(key[1]):
                return
            del self.left[key, index]


class Channels:
    """The wanted chunks of all channels, which are independent of each other.

    Args:
        gather_s: how long an idle channel collects wants before it starts to send, in seconds.
    """

    def __init__(self, gather_s: float = GATHER_S) -> None:
        self.gather_s = gather_s
        self.refused = 0
        self._channels: dict[str, _Channel] = {}

    def want(self, want: Want, now: float) -> None:
        """Note what a device lacks; an invalid want, or one too many, is ignored and counted in `refused`.

        Args:
            want: what is missing.
            now: seconds on a monotonic clock.
        """
        key, chunks = (want.blob, want.chunk_bytes), want.chunks
        one = self._channel(want.channel, want.rate_kbps, now) if chunks and want.rate_kbps > 0 else None
        entry = self._blob(one, key, chunks) if one else None
        if one is None or entry is None:
            self.refused += 1
            return
        one.forget_left(now)
        idle = not one.blobs
        entry.until = max(entry.until, now + want.for_s)
        for index in want.missing:
            if 0 <= index < chunks and (key, index) not in one.left:
                entry.add(index)
        if not entry.count:
            return
        one.blobs[key] = entry
        if idle:
            one.due = max(one.due, now + self.gather_s)

    def next(self, now: float) -> Send | Wait:
        """The chunk that is due first, or how long to wait; repeats the chunk until it is settled."""
        while busy := [(one.due, name) for name, one in self._channels.items() if one.blobs]:
            due, name = min(busy)
            if due > now:
                return Wait(due)
            key, entry = next(iter(self._channels[name].blobs.items()))
            if entry.until > now:
                return Send(name, key[0], entry.next_index(), key[1])
            del self._channels[name].blobs[key]  # the window of all who wanted it has closed
        return Wait(None)

    def settle(self, send: Send, sent_bytes: int, now: float) -> None:
        """Mark a chunk as done; the channel then pauses for as long as its bytes take.

        Args:
            send: the chunk that `next` gave.
            sent_bytes: how much was sent; 0 if the chunk could not be read.
            now: seconds on the same clock.
        """
        one = self._channels.get(send.channel)
        if one is None:
            return
        key = (send.blob, send.chunk_bytes)
        if sent_bytes:
            one.due = max(one.due, now - BURST_S) + one.seconds(sent_bytes)
            one.left[key, send.index] = now
            one.left.move_to_end((key, send.index))
        one.forget_left(now)
        if entry := one.blobs.get(key):
            entry.remove(send.index)
            one.blobs.move_to_end(key)
            if not entry.count:
                del one.blobs[key]

    def drop(self, blob: str) -> None:
        """Drop a blob from every channel."""
        for one in self._channels.values():
            for key in [key for key in one.blobs if key[0] == blob]:
                del one.blobs[key]

    def _blob(self, channel: _Channel, key: _Key, chunks: int) -> _Blob | None:
        if entry := channel.blobs.get(key):
            return entry if len(entry.wanted) == chunks else None
        wanted = sum(len(blob.wanted) for one in self._channels.values() for blob in one.blobs.values())
        fits = len(channel.blobs) < MAX_BLOBS and wanted + chunks <= MAX_CHUNKS
        return _Blob(bytearray(chunks)) if fits else None

    def _channel(self, name: str, rate_kbps: float, now: float) -> _Channel | None:
        if name not in self._channels:
            if len(self._channels) >= MAX_CHANNELS:
                return None
            self._channels[name] = _Channel(rate_kbps, now)
        one = self._channels[name]
        one.rate_kbps = rate_kbps
        return one
