"""Clocks: the wall clock, whether it can be trusted, and a steady one for deadlines."""

import ctypes
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_NOT_SYNCHRONIZED = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES = 512  # the struct has 208; the kernel fills it
_WRITTEN_MS = 1_767_225_600_000  # 2026-01-01: a clock that shows an earlier time is wrong
APPROACH = 0.1
"""How much faster or slower than the monotonic clock a steady clock runs while the wall clock differs from it."""


def wall_ms() -> int:
    """Milliseconds UTC since 1970, as this machine believes."""
    return max(time.time_ns() // 1_000_000, 0)


def clock_is_trusted() -> bool:
    """Whether the kernel calls its clock synchronized; False where it cannot say, or the time cannot be right.

    Many boards wake up in the past until the network tells them the time.
    """
    if wall_ms() < _WRITTEN_MS:
        return False
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return 0 <= int(state) < _NOT_SYNCHRONIZED


class SteadyClock:
    """The wall clock, made fit for deadlines: it never goes back and never leaps.

    It reads the wall clock at the start, and from then on counts by the monotonic clock. When somebody sets the wall
    clock, this one approaches it by a tenth of the time that passes, so that a deadline is off by a tenth at most.

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
        """Go on from `ms` if we are behind it: a time that was once written down is past."""
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
