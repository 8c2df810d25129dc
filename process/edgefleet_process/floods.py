"""Protects logs from floods: we log each message that we set aside, and anyone may send us such messages."""

import logging
import threading
import time
from collections.abc import Callable

PER_MINUTE = 20


class FloodFilter(logging.Filter):
    """Passes at most `per_minute` warnings and errors from one line of source code.

    The first one of the next minute says how many were left out.

    Args:
        per_minute: the limit for one line of source code.
        clock: the monotonic clock, in seconds.
    """

    def __init__(self, per_minute: int = PER_MINUTE, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, int], tuple[float, int]] = {}  # bounded by the number of log calls in the source

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write this record."""
        if record.levelno < logging.WARNING:
            return True
        line, now_s = (record.pathname, record.lineno), self._clock()
        with self._lock:
            since_s, seen = self._lines.get(line, (now_s, 0))
            left_out = max(seen - self._per_minute, 0) if now_s - since_s >= 60 else 0
            if now_s - since_s >= 60:
                since_s, seen = now_s, 0
            self._lines[line] = since_s, seen + 1
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} more like it, left out)", None
        return seen < self._per_minute
