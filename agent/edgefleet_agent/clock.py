"""The wall clock, and whether it can be trusted: many boards wake up in the past until the network tells them."""

import ctypes
import time

_NOT_SYNCHRONIZED = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES = 512  # the struct has 208; the kernel fills it
_WRITTEN_MS = 1_767_225_600_000  # 2026-01-01: no clock that is right shows a time before this program was written


def wall_ms() -> int:
    """Milliseconds UTC since 1970, as this machine believes."""
    return max(time.time_ns() // 1_000_000, 0)


def trusted() -> bool:
    """Whether the kernel says that its clock is synchronized; False where it cannot say, or cannot be right."""
    if wall_ms() < _WRITTEN_MS:
        return False
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return 0 <= int(state) < _NOT_SYNCHRONIZED
