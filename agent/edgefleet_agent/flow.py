"""How fast this device's link is, and so at which pace it listens and how much may be under way to it: pure rules.

Frames say when they were sent, on a clock of the controller's. The least delay seen so far is that of an empty link;
what a frame takes beyond it, it has waited behind others. The time between the arrivals of two frames, the second of
which waited for the first, is what the link needed for the second. The median over such frames is the link's rate: a
machine that is busy for a moment reads several frames at once, so one seems slow and the others fast.

Credit grows while nothing waits, and shrinks when frames wait for longer than `MOST_WAIT_S`: control messages wait
behind them. (The idea of a window steered by queueing delay is LEDBAT's, RFC 6817.)
"""

import math
from dataclasses import dataclass, field
from statistics import median_high

from edgefleet_protocol.chunks import SMALL_BLOB_CHUNK_BYTES, STAMPS, Sending
from edgefleet_protocol.paces import CERTAIN_KBPS, UNMEASURED, pace_for

MEASURE_S = 0.25
"""Frames that kept the link busy for this long, in seconds, tell its rate; less is noise of the machine."""
ALONE_S, ALONE_BYTES = 1.0, 16 * 1024
"""How long a frame must have taken, and how large it must be, if it is to tell something without others behind it: a
busy machine is late by seconds, too."""
RISE = 4
"""A frame that came so many times sooner than its length takes at the pace shows a faster link: that many times."""
LATE_S = 0.5
"""How long frames must have waited before a link counts as slower than the pace it is served at."""
CALM_S = 0.1
FASTER = 0.6
CALM_FOR_S = 2.0
"""If frames wait less than `CALM_S`, and `FASTER` of what their length takes at the known rate, for `CALM_FOR_S`, at a
pace that is made use of, the link may be faster."""
USED = 0.7
MOST_WAIT_S = 1.5
TOGETHER_MS = 100
"""Frames sent within this time of each other show, by how they arrive, whether the link is much slower."""
LARGER = 4
"""A frame so many times larger than the one with the least delay cannot have arrived as fast as that one."""
LOST_TRACK_S = 300.0
"""No frame waits this long: the controller's clock has begun anew."""
FIRST_CREDIT_BYTES, MOST_CREDIT_BYTES = 96 * 1024, 8 * 1024 * 1024
TEST_CREDIT_BYTES = 2 * SMALL_BLOB_CHUNK_BYTES
GROWTH = 4
LEAST_GROWN_BYTES = 4 * SMALL_BLOB_CHUNK_BYTES
SPARE_S, CHUNK_S = 0.5, 1.0
"""What may be under way beyond two round trips, in seconds of the rate, and what a chunk may add to that: a link that
becomes slow has all of it to take."""
CREDIT_S = 1.0
"""The first credit over a link of known rate, in seconds of that rate."""
LEAST_KBPS = 0.1
"""A tiny frame that waited long seems to tell less, and the catalogue knows nothing slower."""
STALE_S = 60.0
"""After so long without a frame, credit begins anew: the link may have become another."""
MOST_SAMPLES = 64


@dataclass
class _Sample:
    """What was seen since the rate was last judged.

    Attributes:
        rates_kbps: of the link, by each frame that waited for the one before.
        seconds: what the link needed for these.
        worst_s: the longest that a frame waited.
        all_bytes: of all frames.
        since_s: when it began.
        together_bytes: of frames that were sent together with the one before, or are large.
        calm: whether every frame came at once, or sooner than its length would need at the known rate.
    """

    since_s: float
    rates_kbps: list[float] = field(default_factory=list)
    seconds: float = 0.0
    worst_s: float = 0.0
    all_bytes: int = 0
    together_bytes: int = 0
    calm: bool = True


@dataclass
class _Seen:
    """The frame before, and the one with the least delay; times by the device's clock, stamps by the controller's."""

    arrived_s: float
    sent_ms: int
    least_ms: int
    least_bytes: int


@dataclass
class Flow:
    """The device's link, as far as frames have shown it.

    Args:
        link_kbps: what the catalogue says of it, in kbit/s, until frames tell what the controller sends on such links:
            it is not taken to be faster.
        rate_kbps: what it was found to be earlier; None: not known.

    Attributes:
        round_trip_s: the shortest that was seen of late.
    """

    link_kbps: float
    rate_kbps: float | None = None
    pace: int = field(init=False, default=UNMEASURED)
    round_trip_s: float = 0.0
    _credit_bytes: int = TEST_CREDIT_BYTES
    _seen: _Seen | None = None
    _sample: _Sample | None = None
    _worst_s: float = 0.0
    _largest_bytes: int = 0

    def __post_init__(self) -> None:
        if self.rate_kbps is not None:
            self._take_rate(self.rate_kbps)

    @property
    def measured_kbps(self) -> float | None:
        """The rate of the link, if it was found slower than the catalogue says."""
        return self.rate_kbps if self.rate_kbps is not None and self.rate_kbps < self.link_kbps else None

    def credit(self, chunk_bytes: int, now_s: float, shares: int = 1) -> int:
        """How many bytes of one of `shares` blobs may be under way: whole chunks, at least one."""
        if self._seen and now_s - self._seen.arrived_s > STALE_S:
            self.begin_anew()
        return max(self._credit_bytes // max(shares, 1) // chunk_bytes, 1) * chunk_bytes

    def arrived(self, size_bytes: int, sending: Sending, now_s: float) -> None:
        """Take note of a frame.

        Args:
            size_bytes: its size.
            sending: what it says of how it was sent.
            now_s: when it arrived, on the device's monotonic clock.
        """
        self._largest_bytes = max(self._largest_bytes, size_bytes)
        self._learn_channel(sending.channel_kbps)
        sent_ms = sending.sent_ms
        delay_ms = int(now_s * 1000) - sent_ms
        seen = self._seen
        waited_s = _signed(delay_ms - seen.least_ms) / 1000 if seen else 0.0
        if seen is None or not 0 <= waited_s < LOST_TRACK_S:
            before = seen if seen and waited_s < 0 else None
            self._seen = _Seen(now_s, sent_ms, delay_ms, size_bytes)
            self._note(size_bytes, 0.0, 0.0, now_s, together=before is not None and self._together(before, sent_ms))
            return
        gap_s = now_s - seen.arrived_s
        large = size_bytes >= LARGER * seen.least_bytes
        alone = large and size_bytes >= ALONE_BYTES
        queued = waited_s >= 0.9 * gap_s or (alone and waited_s >= ALONE_S)
        took_s = min(gap_s, waited_s) if queued else 0.0
        together = large or self._together(seen, sent_ms)
        seen.arrived_s, seen.sent_ms = now_s, sent_ms
        longer_s = self._longer_s(size_bytes - seen.least_bytes)
        calm = waited_s < CALM_S + FASTER * longer_s
        if alone and self.measured_kbps and (size_bytes - seen.least_bytes) / 125 > RISE * self.pace * waited_s:
            self._take_rate(RISE * self.pace)  # it was sent no faster than this, and waited at least for its own length
            self._sample = None
        self._note(size_bytes, took_s, max(0.0, waited_s - longer_s), now_s, together=together, calm=calm)

    def _learn_channel(self, kbps: float) -> None:
        """What the controller sends at most; its catalogue may be another than ours."""
        as_fast = self.rate_kbps is not None and self.measured_kbps is None
        if kbps != self.link_kbps:
            self.link_kbps = kbps
            if as_fast:
                self._take_rate(kbps)

    def _longer_s(self, more_bytes: int) -> float:
        """What so many bytes more take on the link by themselves: a frame has not waited for its own length."""
        return max(0, more_bytes) * 8 / 1000 / self.rate_kbps if self.rate_kbps else 0.0

    def took_in(self) -> None:
        """Half of what was credited has arrived: grow while nothing waits, shrink if frames wait too long."""
        if self._worst_s < MOST_WAIT_S / 3:
            # Over a link of unknown rate, chunks that come one by one tell nothing: let a few more be under way.
            most_bytes = FIRST_CREDIT_BYTES if self.pace == UNMEASURED else self._most_credit()
            self._credit_bytes = max(self._credit_bytes, min(self._credit_bytes * GROWTH, most_bytes))
        elif self._worst_s > MOST_WAIT_S:
            shrunk = self._credit_bytes * MOST_WAIT_S / self._worst_s
            # Frames also wait for a busy machine: what the link carries in a moment may always be under way.
            least_bytes = (self.rate_kbps or 0.0) * 125 * SPARE_S
            self._credit_bytes = min(self._credit_bytes, int(max(shrunk, least_bytes, TEST_CREDIT_BYTES)))
        self._worst_s = 0.0

    def took_round_trip(self, seconds: float) -> None:
        """A subscription was confirmed after so long; behind chunks that takes longer than the way alone."""
        self.round_trip_s = min(seconds, self.round_trip_s or math.inf)

    def begin_anew(self) -> None:
        """A new connection, or a controller with another clock: delays are no longer comparable."""
        self._seen = self._sample = None
        self._worst_s = self.round_trip_s = 0.0
        if self.rate_kbps is not None:
            self._credit_bytes = self._first_credit(self.rate_kbps)

    def _together(self, before: _Seen, sent_ms: int) -> bool:
        return 0 <= _signed(sent_ms - before.sent_ms) <= TOGETHER_MS

    def _note(
        self, size_bytes: int, took_s: float, waited_s: float, now_s: float, *, together: bool, calm: bool = True
    ) -> None:
        sample = self._sample = self._sample or _Sample(now_s)
        sample.calm = sample.calm and calm
        self._worst_s = max(self._worst_s, waited_s)
        sample.worst_s = max(sample.worst_s, waited_s)
        sample.all_bytes += size_bytes
        if took_s:
            sample.seconds += took_s
            sample.rates_kbps.append(size_bytes / 125 / took_s)
            del sample.rates_kbps[:-MOST_SAMPLES]
        if together:
            sample.together_bytes += size_bytes
        self._judge(sample, now_s)

    def _judge(self, sample: _Sample, now_s: float) -> None:
        busy = sample.seconds >= MEASURE_S
        if busy and (self.rate_kbps is None or sample.worst_s >= LATE_S):
            found_kbps = median_high(sample.rates_kbps)
            known_kbps = self.rate_kbps or found_kbps
            if found_kbps < known_kbps / 2 and len(sample.rates_kbps) < 2:
                return  # the link may have been gone for a while
            self._take_rate(found_kbps if found_kbps < known_kbps / 2 else (found_kbps + known_kbps) / 2)
        elif self.rate_kbps is None and sample.together_bytes >= SMALL_BLOB_CHUNK_BYTES // 2:
            self._take_rate(self.link_kbps)  # not much slower, at least: larger chunks tell more
        elif now_s - sample.since_s >= CALM_FOR_S:
            used = sample.all_bytes * 8 / 1000 >= USED * self.pace * (now_s - sample.since_s)
            if sample.calm and used and self.measured_kbps:
                self._take_rate(2 * self.pace)
        else:
            return
        self._sample = None

    def _take_rate(self, kbps: float) -> None:
        kbps = max(min(kbps, self.link_kbps), LEAST_KBPS)
        listened_kbps = self.link_kbps if kbps >= CERTAIN_KBPS else kbps
        # A device near the border between two paces stays where it is.
        if not self.pace * 0.4 <= listened_kbps <= self.pace:
            before, self.pace = self.pace, pace_for(listened_kbps)
            if before == UNMEASURED or self.pace < before:
                self._credit_bytes = self._first_credit(kbps)
        self.rate_kbps = kbps

    def _first_credit(self, kbps: float) -> int:
        return max(TEST_CREDIT_BYTES, min(FIRST_CREDIT_BYTES, int(kbps * 125 * CREDIT_S)))

    def _most_credit(self) -> int:
        """What keeps the link busy while half of it arrives, a want goes up and the next chunks come down."""
        rate_bytes = (self.rate_kbps or math.inf) * 125
        chunk_bytes = min(self._largest_bytes, rate_bytes * CHUNK_S)
        most_bytes = rate_bytes * (SPARE_S + 2 * self.round_trip_s) + chunk_bytes
        return int(min(MOST_CREDIT_BYTES, max(LEAST_GROWN_BYTES, most_bytes)))


def _signed(difference_ms: int) -> int:
    """A difference of stamps, which begin again at `STAMPS`."""
    return (difference_ms + STAMPS // 2) % STAMPS - STAMPS // 2
