"""What to send next on which lane: pure rules that take `now`.

A lane is a kind of link and a pace. Devices say which chunks they lack; a lane collects wants for a short while, sends
each wanted chunk once for all listeners, alternates between blobs, and keeps to its rate. Devices ask again for what
they still lack, so a lost want costs only time.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from edgefleet_controller.delivery.broadcast import Broadcast, Hurry
from edgefleet_protocol.chunks import Bitmap, chunk_count
from edgefleet_protocol.messages import Credit
from edgefleet_protocol.paces import CERTAIN_KBPS, UNMEASURED
from edgefleet_protocol.topics import Lane

GATHER_S, LONGER, PAUSES = 0.05, 2, 1.0
MOST_GATHER_S = 4.5
"""Devices of a wave ask at almost the same time: a broadcast begins once nobody has joined for `GATHER_S`, up to
`LONGER` times that more for one that is worth it, and `PAUSES` times as long as they have been joining: a busy machine
pauses. It begins at most `MOST_GATHER_S` after the first, before a device takes the wait for silence (5 s). Each device
listens before it asks, so it misses nothing meanwhile. (500 devices, told within 0.8 s, on a busy machine: without
`PAUSES` they fell into three groups, and the blob was sent two to three times.)"""
GRACE_S = 0.1
GRACE_CHUNKS = 2
"""A chunk sent less than `GRACE_S` plus this many chunk intervals ago is not sent again."""
REPEAT_S = 2.0
"""A blob that takes less than this is not repeated within it: who joins meanwhile is served by one repetition."""

MIN_WAIT_S = 0.001
BURST_S = 0.05
"""How far a delayed lane may exceed its rate to catch up, in seconds of sending."""
PATIENCE_S, PATIENCE_CHUNKS, MOST_PATIENCE_S = 8.0, 8, 60.0
"""How long a listener that does not move may hold up the others: this, and as long as so many chunks take."""
FORGET_S = 180.0
"""A broadcast that is wanted no more, and whose listeners have said nothing for this long, is forgotten."""

MAX_LANES = 256
MAX_BLOBS = 256
MAX_CHUNKS = 8_000_000  # over all wanted blobs
MAX_LISTENING_BITS = 2**30  # over all listeners: each keeps a bit for every chunk


@dataclass(frozen=True)
class Want:
    """The chunks of a blob that a device lacks.

    Attributes:
        channel: the kind of link.
        rate_kbps: the rate of the channel, in kbit/s; the latest want decides.
        blob: the digest of the blob.
        chunk_bytes: the size of its chunks, in bytes.
        size_bytes: the size of the blob, in bytes.
        missing: the missing chunks.
        for_s: for how many seconds they may be sent; the latest of all wants for a blob decides.
        device: who asks.
        credit: how much may be under way to it, and at which pace it listens; None: it takes what is sent.
    """

    channel: str
    rate_kbps: float
    blob: str
    chunk_bytes: int
    size_bytes: int
    missing: Bitmap
    for_s: float = math.inf
    device: str = ""
    credit: Credit | None = None

    @property
    def chunks(self) -> int:
        """How many chunks the blob has; 0 if a size isn't positive."""
        sound = self.chunk_bytes > 0 and self.size_bytes > 0
        return chunk_count(self.size_bytes, self.chunk_bytes) if sound else 0

    @property
    def pace(self) -> int | None:
        """The pace that the device listens at."""
        return self.credit.pace if self.credit else None


@dataclass(frozen=True)
class Send:
    """A chunk that is due: send it, then call `Channels.settle`; `channel_kbps` is the rate of its channel."""

    lane: Lane
    blob: str
    index: int
    chunk_bytes: int
    channel_kbps: float


@dataclass(frozen=True)
class Wait:
    """Nothing is due before `until`; None: nothing is wanted."""

    until: float | None


_Key = tuple[str, int]  # blob, chunk_bytes
_LaneKey = tuple[str, int | None]  # channel, pace


@dataclass
class _Lane:
    channel: str
    pace: int | None
    rate_kbps: float
    channel_kbps: float
    due: float
    blobs: OrderedDict[_Key, Broadcast] = field(default_factory=OrderedDict)

    def seconds(self, size_bytes: int) -> float:
        return size_bytes * 8 / (self.rate_kbps * 1000)

    def grace_s(self, one: Broadcast) -> float:
        return GRACE_S + GRACE_CHUNKS * self.seconds(one.chunk_bytes)

    def pause_s(self, one: Broadcast) -> float:
        """For how long a chunk that was sent is not sent again."""
        short = self.seconds(one.size_bytes) <= REPEAT_S
        return max(self.grace_s(one), REPEAT_S * one.worth if short else 0.0)

    def patience_s(self, one: Broadcast) -> float:
        return min(PATIENCE_S + PATIENCE_CHUNKS * self.seconds(one.chunk_bytes), MOST_PATIENCE_S)

    def expects(self, one: Broadcast) -> Hurry:
        slowest_kbps = min(self.rate_kbps, CERTAIN_KBPS)
        return Hurry(self.patience_s(one), 8 / (slowest_kbps * 1000))

    def name(self, chunk_bytes: int) -> Lane:
        return Lane(self.channel) if self.pace is None else Lane(self.channel, self.pace, chunk_bytes)

    def tidy(self, now: float) -> None:
        """Forget broadcasts that are over, whose windows have closed, or whose listeners have fallen silent."""
        for key, one in list(self.blobs.items()):
            one.forget_sent_before(now - self.pause_s(one))
            silent = not one.wanted and now - one.asked_at > FORGET_S
            if one.over or silent or one.until <= now:
                del self.blobs[key]

    def next_send(self, now: float) -> Send | None:
        """The chunk that may be sent now, of the blob whose turn it is."""
        for key, one in self.blobs.items():
            if one.wanted and one.begins_at <= now:
                index = one.next_index(now, self.patience_s(one), self.pause_s(one))
                if index is not None:
                    return Send(self.name(key[1]), key[0], index, key[1], self.channel_kbps)
        return None

    def wake_at(self) -> float:
        """When something may be due that is not due now."""
        waiting = (max(one.begins_at, one.blocked_until, self.due) for one in self.blobs.values() if one.wanted)
        return min(waiting, default=math.inf)


class Channels:
    """The wanted chunks of all lanes, which are independent of each other.

    Args:
        gather_s: for how long nobody must have joined a broadcast before it begins, in seconds.
    """

    def __init__(self, gather_s: float = GATHER_S) -> None:
        self.gather_s = gather_s
        self.refused = 0
        self._lanes: dict[_LaneKey, _Lane] = {}

    def want(self, want: Want, now: float) -> None:
        """Note what a device lacks; an invalid want, or one too many, is ignored and counted in `refused`.

        Args:
            want: what is missing.
            now: seconds on a monotonic clock.
        """
        key, chunks = (want.blob, want.chunk_bytes), want.chunks
        lane = self._lane(want, now) if chunks and want.rate_kbps > 0 and want.missing.count == chunks else None
        if lane is not None:
            lane.tidy(now)
        one = self._broadcast(lane, key, want) if lane else None
        if lane is None or one is None:
            self.refused += 1
            return
        if want.credit:
            self._leave_other_lanes(want, lane)
        if not want.missing.bits:
            one.leave(want.device)
            return
        was_wanted, joins, until = one.wanted, not (want.credit and one.has(want.device)), now + want.for_s
        if want.credit:
            one.listen(want.device, want.missing.bits, want.credit, now, until, lane.expects(one))
        else:
            one.want(want.missing.bits, until, now - lane.grace_s(one))
        one.asked_at = now
        if one.wanted or one.listeners:
            lane.blobs[key] = one
            if joins or not was_wanted:
                self._gather(lane, one, was_wanted=was_wanted, now=now)

    def next(self, now: float) -> Send | Wait:
        """The chunk that is due first, or how long to wait; repeats the chunk until it is settled."""
        wake = math.inf
        for lane in sorted(self._lanes.values(), key=lambda lane: lane.due):
            lane.tidy(now)
            if lane.due <= now and (send := lane.next_send(now)):
                return send
            wake = min(wake, lane.wake_at())
        if wake == math.inf:
            return Wait(None)
        return Wait(wake if wake > now else now + MIN_WAIT_S)

    def settle(self, send: Send, sent_bytes: int, now: float) -> None:
        """Mark a chunk as done; the lane then pauses for as long as its bytes take.

        Args:
            send: the chunk that `next` gave.
            sent_bytes: how much was sent; 0 if the chunk could not be read.
            now: seconds on the same clock.
        """
        lane = self._lanes.get((send.lane.channel, send.lane.pace))
        if lane is None:
            return
        key = (send.blob, send.chunk_bytes)
        if sent_bytes:
            lane.due = max(lane.due, now - BURST_S) + lane.seconds(sent_bytes)
        if one := lane.blobs.get(key):
            one.sent(send.index, sent_bytes, now)
            lane.blobs.move_to_end(key)
        lane.tidy(now)

    def drop(self, blob: str) -> None:
        """Drop a blob from every lane."""
        for lane in self._lanes.values():
            for key in [key for key in lane.blobs if key[0] == blob]:
                del lane.blobs[key]

    def _gather(self, lane: _Lane, one: Broadcast, *, was_wanted: bool, now: float) -> None:
        """Put off the beginning for as long as devices keep joining."""
        if not was_wanted:
            one.gathers_since = now
        if one.gathers_since is not None:
            so_far_s = now - one.gathers_since
            quiet_s = self.gather_s * (1 + LONGER * one.worth) + PAUSES * so_far_s
            one.begins_at = min(now + quiet_s, one.gathers_since + max(MOST_GATHER_S, self.gather_s))
            if not any(other.wanted for other in lane.blobs.values() if other is not one):
                lane.due = max(lane.due, one.begins_at)  # an idle lane saves nothing up

    def _leave_other_lanes(self, want: Want, here: _Lane) -> None:
        """A device hears a blob on one lane at a time."""
        for lane in self._of_channel(want.channel):
            for key, one in lane.blobs.items():
                if key[0] == want.blob and (lane is not here or key[1] != want.chunk_bytes):
                    one.leave(want.device)

    def _of_channel(self, channel: str) -> Iterator[_Lane]:
        return (lane for (name, pace), lane in self._lanes.items() if name == channel and pace is not None)

    def _broadcast(self, lane: _Lane, key: _Key, want: Want) -> Broadcast | None:
        """The broadcast of a blob, a new one if need be; None if there is no room for it or for who asks."""
        one, chunks = lane.blobs.get(key), want.chunks
        if one is not None and (one.chunks != chunks or want.credit is None or one.has(want.device)):
            return one if one.chunks == chunks else None
        every = [one for lane in self._lanes.values() for one in lane.blobs.values()]
        if sum(one.chunks * one.listeners for one in every) + chunks > MAX_LISTENING_BITS:
            return None
        fits = len(lane.blobs) < MAX_BLOBS and sum(one.chunks for one in every) + chunks <= MAX_CHUNKS
        return one or (Broadcast(chunks, key[1]) if fits else None)

    def _lane(self, want: Want, now: float) -> _Lane | None:
        key = (want.channel, want.pace)
        if key not in self._lanes:
            if len(self._lanes) >= MAX_LANES:
                self._lanes = {one: lane for one, lane in self._lanes.items() if lane.blobs or lane.due > now}
            if len(self._lanes) >= MAX_LANES:
                return None
            self._lanes[key] = _Lane(want.channel, want.pace, want.rate_kbps, want.rate_kbps, now)
        lane = self._lanes[key]
        lane.channel_kbps = want.rate_kbps
        # A pace is at most as fast as the channel; who has not measured anything gets its few chunks at once.
        slower = want.pace not in (None, UNMEASURED)
        lane.rate_kbps = min(want.rate_kbps, want.pace) if slower and want.pace else want.rate_kbps
        return lane
