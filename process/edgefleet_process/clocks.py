"""Clocks: the wall clock, whether it can be trusted, and a steady one for deadlines."""

import ctypes
import logging
import threading
import time
from collections.abc import Callable

from edgefleet_process.heap import c_library

log = logging.getLogger(__name__)

_NOT_SYNCHRONIZED = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES = 512  # the struct has 208; the kernel fills it
_WRITTEN_MS = 1_767_225_600_000  # 2026-01-01: a clock that shows an earlier time is wrong
APPROACH = 0.1
"""How much faster or slower than the monotonic clock a steady clock runs, to approach the wall clock."""


def wall_ms() -> int:
    """Milliseconds UTC since 1970, by this machine's clock."""
    return max(time.time_ns() // 1_000_000, 0)


def clock_is_trusted() -> bool:
    """Whether the kernel says that its clock is synchronized; False if it cannot say, or if the time cannot be right.

    Many boards start with a time in the past, until the network sets it.
    """
    if wall_ms() < _WRITTEN_MS:
        return False
    try:
        state = c_library().adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return 0 <= int(state) < _NOT_SYNCHRONIZED


class SteadyClock:
    """A wall clock for deadlines: it never goes back and never jumps.

    It reads the wall clock at the start, then follows the monotonic clock. When the wall clock is set, this clock
    approaches it by a tenth of the time that passes, so a deadline is off by at most a tenth.

    Args:
        wall_ns: nanoseconds UTC, by this machine's clock.
        monotonic_ns: the monotonic clock, in nanoseconds.
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
        """Continue from `ms` if this clock is behind it: a recorded time is always in the past."""
        with self._lock:
            self._pass()
            behind_ms = ms - self._now_ns // 1_000_000
            if behind_ms > 0:
                self._now_ns = ms * 1_000_000
        if behind_ms > 1000:
            log.warning(
                "this machine's clock is %d s behind the store's latest time: check that it is set", behind_ms // 1000
            )

    def _pass(self) -> int:
        read_ns = self._monotonic_ns()
        passed_ns, self._read_ns = read_ns - self._read_ns, read_ns
        self._now_ns += passed_ns
        return passed_ns
