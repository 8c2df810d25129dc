"""How fast this device's link is, and so at which pace it listens and how much may be under way to it: pure rules.

Frames say when they were sent, on a clock of the controller's. The least delay seen so far is that of an empty link;
what a frame takes beyond it, it has waited behind others. The time between the arrivals of two frames, the second of
which waited for the first, is what the link needed for the second: their bytes over these times are the link's rate.

Credit grows while nothing waits, and shrinks when frames wait for longer than `MOST_WAIT_S`: control messages wait
behind them. (The idea of a window steered by queueing delay is LEDBAT's, RFC 6817.)
"""

import math
from dataclasses import dataclass, field

from edgefleet_protocol.chunks import SMALL_BLOB_CHUNK_BYTES, STAMPS
from edgefleet_protocol.paces import UNMEASURED, pace_for

MEASURE_S = 0.25
"""Frames that kept the link busy for this long, in seconds, tell its rate; less is noise of the machine."""
LATE_S = 0.5
"""How long frames must have waited before a link counts as slower than the pace it is served at."""
CALM_S = 0.1
CALM_FOR_S = 2.0
"""Frames that waited less than `CALM_S` for this long, at a pace that was made use of: the link may be faster."""
USED = 0.7
MOST_WAIT_S = 1.5
TOGETHER_MS = 100
"""Frames sent within this time of each other show, by how they arrive, whether the link is much slower."""
LARGER = 4
"""A frame so many times larger than the one with the least delay cannot have arrived as fast as that one."""
LOST_TRACK_S = 300.0
"""No frame waits this long: the controller's clock has begun anew."""
FIRST_CREDIT_BYTES, MOST_CREDIT_BYTES = 64 * 1024, 4 * 1024 * 1024
TEST_CREDIT_BYTES = 2 * SMALL_BLOB_CHUNK_BYTES
GROWTH = 4
CREDIT_S = 1.0
"""The first credit over a link of known rate, in seconds of that rate."""


@dataclass
class _Sample:
    """What was seen since the rate was last judged.

    Attributes:
        size_bytes: of frames that waited for the one before.
        seconds: what the link needed for these.
        worst_s: the longest that a frame waited.
        all_bytes: of all frames.
        since_s: when it began.
        together_bytes: of frames that were sent together with the one before, or are large.
    """

    since_s: float
    size_bytes: int = 0
    seconds: float = 0.0
    worst_s: float = 0.0
    all_bytes: int = 0
    together_bytes: int = 0


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
        link_kbps: what the catalogue says of it, in kbit/s: it is not taken to be faster.
        rate_kbps: what it was found to be earlier; None: not known.
    """

    link_kbps: float
    rate_kbps: float | None = None
    pace: int = field(init=False, default=UNMEASURED)
    _credit_bytes: int = TEST_CREDIT_BYTES
    _seen: _Seen | None = None
    _sample: _Sample | None = None
    _worst_s: float = 0.0

    def __post_init__(self) -> None:
        if self.rate_kbps is not None:
            self._take_rate(self.rate_kbps)

    @property
    def measured_kbps(self) -> float | None:
        """The rate of the link, if it was found slower than the catalogue says."""
        return self.rate_kbps if self.rate_kbps is not None and self.rate_kbps < self.link_kbps else None

    def credit(self, chunk_bytes: int, shares: int = 1) -> int:
        """How many bytes of one of `shares` blobs may be under way; at least a chunk."""
        return max(self._credit_bytes // max(shares, 1), chunk_bytes)

    def arrived(self, size_bytes: int, sent_ms: int, now_s: float) -> None:
        """Take note of a frame.

        Args:
            size_bytes: its size.
            sent_ms: its stamp.
            now_s: when it arrived, on the device's monotonic clock.
        """
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
        queued = waited_s >= 0.9 * gap_s or large
        took_s = min(gap_s, waited_s) if queued else 0.0
        together = large or self._together(seen, sent_ms)
        seen.arrived_s, seen.sent_ms = now_s, sent_ms
        self._note(size_bytes, took_s, waited_s, now_s, together=together)

    def took_in(self) -> None:
        """Half of what was credited has arrived: grow while nothing waits, shrink if frames wait too long."""
        if self._worst_s < MOST_WAIT_S / 3 and self.pace != UNMEASURED:
            self._credit_bytes = min(self._credit_bytes * GROWTH, self._most_credit())
        elif self._worst_s > MOST_WAIT_S:
            shrunk = self._credit_bytes * MOST_WAIT_S / self._worst_s
            self._credit_bytes = max(int(shrunk), TEST_CREDIT_BYTES)
        self._worst_s = 0.0

    def begin_anew(self) -> None:
        """A new connection, or a controller with another clock: delays are no longer comparable."""
        self._seen = self._sample = None
        self._worst_s = 0.0
        if self.rate_kbps is not None:
            self._credit_bytes = self._first_credit(self.rate_kbps)

    def _together(self, before: _Seen, sent_ms: int) -> bool:
        return 0 <= _signed(sent_ms - before.sent_ms) <= TOGETHER_MS

    def _note(self, size_bytes: int, took_s: float, waited_s: float, now_s: float, *, together: bool) -> None:
        sample = self._sample = self._sample or _Sample(now_s)
        self._worst_s = max(self._worst_s, waited_s)
        sample.worst_s = max(sample.worst_s, waited_s)
        sample.all_bytes += size_bytes
        if took_s:
            sample.size_bytes += size_bytes
            sample.seconds += took_s
        if together:
            sample.together_bytes += size_bytes
        self._judge(sample, now_s)

    def _judge(self, sample: _Sample, now_s: float) -> None:
        busy = sample.seconds >= MEASURE_S
        if busy and (self.rate_kbps is None or sample.worst_s >= LATE_S):
            found_kbps = sample.size_bytes * 8 / sample.seconds / 1000
            known_kbps = self.rate_kbps or found_kbps
            self._take_rate(found_kbps if found_kbps < known_kbps / 2 else (found_kbps + known_kbps) / 2)
        elif self.rate_kbps is None and sample.together_bytes >= SMALL_BLOB_CHUNK_BYTES // 2:
            self._take_rate(self.link_kbps)  # not much slower, at least: larger chunks tell more
        elif now_s - sample.since_s >= CALM_FOR_S:
            used = sample.all_bytes * 8 / 1000 >= USED * self.pace * (now_s - sample.since_s)
            if sample.worst_s < CALM_S and used and self.measured_kbps:
                self._take_rate(2 * self.pace)
        elif not busy:
            return
        self._sample = None

    def _take_rate(self, kbps: float) -> None:
        kbps = min(kbps, self.link_kbps)
        # A device near the border between two paces stays where it is.
        if not self.pace * 0.4 <= kbps <= self.pace:
            before, self.pace = self.pace, pace_for(kbps)
            if before == UNMEASURED or self.pace < before:
                self._credit_bytes = self._first_credit(kbps)
        self.rate_kbps = kbps

    def _first_credit(self, kbps: float) -> int:
        return max(TEST_CREDIT_BYTES, min(FIRST_CREDIT_BYTES, int(kbps * 125 * CREDIT_S)))

    def _most_credit(self) -> int:
        """Twice what may wait: over a link with a long round trip, as much again is on its way."""
        rate_bytes = (self.rate_kbps or math.inf) * 125
        return int(min(MOST_CREDIT_BYTES, max(TEST_CREDIT_BYTES, rate_bytes * 2 * MOST_WAIT_S)))


def _signed(difference_ms: int) -> int:
    """A difference of stamps, which begin again at `STAMPS`."""
    return (difference_ms + STAMPS // 2) % STAMPS - STAMPS // 2
