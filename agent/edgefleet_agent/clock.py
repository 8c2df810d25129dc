"""The wall clock, and whether it can be trusted: many boards wake up in the past until the network tells them."""

import ctypes
import time

_NOT_SYNCHRONIZED = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES = 512  # the struct has 208; the kernel fills it


def wall_ms() -> int:
    """Milliseconds UTC since 1970, as this machine believes."""
    return time.time_ns() // 1_000_000


def trusted() -> bool:
    """Whether the kernel says that its clock is synchronized; False where it cannot say."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return 0 <= int(state) < _NOT_SYNCHRONIZED
