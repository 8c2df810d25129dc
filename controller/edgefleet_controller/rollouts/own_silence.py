"""Since when the fleet can be heard: what is not heard while we are deaf is no silence of a device. No I/O."""

LONGEST_GAP_MS = 10_000
"""Ticks further apart were not ours: the machine slept, the process was suspended, or the clock was set."""


class OwnSilence:
    """Told at every tick whether the broker is connected; knows since when nothing can have been missed."""

    def __init__(self) -> None:
        self._since_ms: int | None = None
        self._last_ms = 0

    def at(self, now_ms: int, connected: bool) -> int | None:
        """Since when we have been listening without a break; None when we are not."""
        awake = 0 <= now_ms - self._last_ms <= LONGEST_GAP_MS
        self._last_ms = now_ms
        if not connected:
            self._since_ms = None
        elif self._since_ms is None or not awake:
            self._since_ms = now_ms
        return self._since_ms
