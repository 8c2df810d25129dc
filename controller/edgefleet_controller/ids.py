"""Ids and the clock."""

import logging
import secrets
import threading
import time
import uuid
from collections.abc import Callable

log = logging.getLogger(__name__)

APPROACH = 0.1
"""How much faster or slower than the monotonic clock ours runs while the wall clock is ahead of it or behind."""


class SteadyClock:
    """The wall clock, made fit for deadlines: it never goes back and never leaps.

    The wall clock is read at the start; then the monotonic clock counts. When somebody sets the wall clock, ours
    approaches it by a tenth of the time that passes, so that a deadline is off by a tenth at most.

    Args:
        wall_ns: nanoseconds UTC, as this machine believes.
        monotonic_ns: nanoseconds since some moment.
    """

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self._lock = threading.Lock()
        self._read_ns, self._now_ns = monotonic_ns(), wall_ns()

    def now_ms(self) -> int:
        """Milliseconds UTC."""
        with self._lock:
            passed_ns = self._pass()
            apart_ns = self._wall_ns() - self._now_ns
            most_ns = int(passed_ns * APPROACH)
            self._now_ns += max(-most_ns, min(apart_ns, most_ns))
            return self._now_ns // 1_000_000

    def not_before(self, ms: int) -> None:
        """Go on from `ms` if we are behind it: a time that was written down once is over."""
        with self._lock:
            self._pass()
            behind_ms = ms - self._now_ns // 1_000_000
            if behind_ms > 0:
                self._now_ns = ms * 1_000_000
        if behind_ms > 1000:
            log.warning("this machine's clock is %d s behind what the store has: is it set?", behind_ms // 1000)

    def _pass(self) -> int:
        read_ns = self._monotonic_ns()
        passed_ns, self._read_ns = read_ns - self._read_ns, read_ns
        self._now_ns += passed_ns
        return passed_ns


_CLOCK = SteadyClock()


def now_ms() -> int:
    """Milliseconds UTC, by the controller's clock."""
    return _CLOCK.now_ms()


def file_ms() -> int:
    """Milliseconds UTC that no file of this moment is dated before: files carry the machine's own clock."""
    return min(now_ms(), time.time_ns() // 1_000_000)


def not_before(ms: int) -> None:
    """Let the controller's clock go on from `ms` if it is behind that."""
    _CLOCK.not_before(ms)


def new_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7): ordered by time, random within a millisecond."""
    value = (now_ms() & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))
