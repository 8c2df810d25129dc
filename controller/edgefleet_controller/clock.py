"""The controller's clock: one for the whole process, steady enough for deadlines."""

from edgefleet_process.clocks import SteadyClock, wall_ms

_CLOCK = SteadyClock()


def now_ms() -> int:
    """Milliseconds UTC, by the controller's clock."""
    return _CLOCK.now_ms()


def file_ms() -> int:
    """Milliseconds UTC for comparison with file times, which follow the machine's own clock: never ahead of it."""
    return min(now_ms(), wall_ms())


def not_before(ms: int) -> None:
    """Move the controller's clock forward to `ms` if it is behind."""
    _CLOCK.not_before(ms)
