"""One model's transitions, in order: each is saved before it is acted on."""

import logging
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger("edgefleet.agent")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0


class Transitions:
    """Saves, then acts. While a save fails, everything behind it waits.

    Args:
        model: for the log.
        clock: the monotonic clock, in seconds.
    """

    def __init__(self, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._model, self._clock = model, clock
        self._stuck: tuple[Callable[[], None], Callable[[], None]] | None = None
        self._behind: deque[Callable[[], object]] = deque()
        self._last: Callable[[], object] | None = None
        self._again_s, self._pause_s = 0.0, FIRST_PAUSE_S
        self.trouble: str | None = None
        """The error of the last save; None while nothing waits."""

    @property
    def stuck(self) -> bool:
        """Whether a transition waits to be saved."""
        return self._stuck is not None

    def take(self, save: Callable[[], None], act: Callable[[], None]) -> None:
        """Save and act; if the save fails, try both again later."""
        try:
            save()
        except OSError as error:
            if self.trouble is None:
                log.error("%s: the state cannot be saved, and nothing changes until it can: %s", self._model, error)
            self.trouble = error.strerror or str(error)
            self._stuck, self._again_s = (save, act), self._clock() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            return
        if self.trouble is not None:
            log.warning("%s: the state can be saved again", self._model)
        self._stuck, self.trouble, self._pause_s = None, None, FIRST_PAUSE_S
        act()

    def behind(self, work: Callable[[], object]) -> None:
        """Do something after the transition that is stuck."""
        self._behind.append(work)

    def last(self, work: Callable[[], object]) -> None:
        """Do something after everything else that waits; only the last call counts."""
        self._last = work

    def tick(self) -> None:
        """Retry what is stuck when it is time, then go on with what waits behind it."""
        if self._stuck and self._clock() >= self._again_s:
            self.take(*self._stuck)
        while not self._stuck and self._behind:
            self._behind.popleft()()
        if not self._stuck and self._last:
            work, self._last = self._last, None
            work()
