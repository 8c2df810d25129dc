"""The C library's heap of a process that runs for months: what was needed once goes back to the system."""

import ctypes
from functools import cache

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # mallopt(3)
LARGE_BYTES = 64 * 1024
"""Blocks from this size on are mapped each for itself, and unmapped when they are free."""


@cache
def c_library() -> ctypes.CDLL:
    """The C library, loaded once: devices ask it every second."""
    return ctypes.CDLL(None)


def keep_heap_small() -> None:
    """Take one arena for all threads and map large blocks; call it before any thread starts.

    By default glibc gives each thread an arena and keeps in its heap any size that was freed once: a few large requests
    then cost memory for good. Other C libraries have no such setting.
    """
    try:
        set_option = c_library().mallopt
    except (OSError, AttributeError):
        return
    set_option(_M_ARENA_MAX, 1)
    set_option(_M_MMAP_THRESHOLD, LARGE_BYTES)
