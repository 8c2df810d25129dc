"""When a model that waits for room on the disk tries again."""

from collections.abc import Callable

LOOK_EVERY_S = 2.0
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0


class DiskWait:
    """Waits until there is as much room as needed or, if that is not known, for a pause that doubles.

    Args:
        free_bytes: returns the free space on the disk.
    """

    def __init__(self, free_bytes: Callable[[], int]) -> None:
        self._free_bytes = free_bytes
        self._need_bytes, self._at_s, self._pause_s = 0, 0.0, FIRST_PAUSE_S
        self.waiting = False

    def wait(self, need_bytes: int, now_s: float) -> None:
        """Begin to wait.

        Args:
            need_bytes: how much must be free; 0 when a write failed although there seemed to be room.
            now_s: the monotonic clock, in seconds.
        """
        self.waiting, self._need_bytes = True, need_bytes
        self._at_s = now_s + (LOOK_EVERY_S if need_bytes else self._pause_s)
        if not need_bytes:
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def stop(self) -> None:
        """Stop waiting."""
        self.waiting = False

    def written(self) -> None:
        """A write succeeded: make the next pause short again."""
        self._pause_s = FIRST_PAUSE_S

    def found(self, now_s: float) -> bool:
        """Whether another try is worth it."""
        if not self.waiting or now_s < self._at_s:
            return False
        self._at_s = now_s + LOOK_EVERY_S
        return self._free_bytes() >= self._need_bytes
