"""Since when the controller has been connected: earlier silence doesn't count against devices. No I/O."""

LONGEST_GAP_MS = 10_000
"""A longer gap between ticks means that the machine slept, the process was suspended, or the clock was set."""


class OwnSilence:
    """Told at every tick whether the broker is connected; knows since when no message can have been missed."""

    def __init__(self) -> None:
        self._since_ms: int | None = None
        self._last_ms = 0

    def at(self, now_ms: int, connected: bool) -> int | None:
        """Since when we have been listening without a break; None if we aren't."""
        awake = 0 <= now_ms - self._last_ms <= LONGEST_GAP_MS
        self._last_ms = now_ms
        if not connected:
            self._since_ms = None
        elif self._since_ms is None or not awake:
            self._since_ms = now_ms
        return self._since_ms
