"""The controller's clock: one for the whole process, fit for deadlines."""

from edgefleet_process.clocks import SteadyClock, wall_ms

_CLOCK = SteadyClock()


def now_ms() -> int:
    """Milliseconds UTC, by the controller's clock."""
    return _CLOCK.now_ms()


def file_ms() -> int:
    """Milliseconds UTC that no file of this moment is dated before: files carry the machine's own clock."""
    return min(now_ms(), wall_ms())


def not_before(ms: int) -> None:
    """Let the controller's clock go on from `ms` if it is behind that."""
    _CLOCK.not_before(ms)
