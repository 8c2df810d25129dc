"""One model's transitions, one after the other: none is acted on before the disk has taken it."""

import logging
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger("edgefleet.agent")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0


class Transitions:
    """Saves, then acts. While the disk does not take what was decided, everything behind it waits its turn.

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
        """What the disk said; None while nothing waits for it."""

    @property
    def stuck(self) -> bool:
        """Whether something that was decided could not be saved."""
        return self._stuck is not None

    def take(self, save: Callable[[], None], act: Callable[[], None]) -> None:
        """Save and act; where the disk refuses, both are tried again later."""
        try:
            save()
        except OSError as error:
            if self.trouble is None:
                log.error("%s: the state cannot be saved, so nothing is changed until it can: %s", self._model, error)
            self.trouble = error.strerror or str(error)
            self._stuck, self._again_s = (save, act), self._clock() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            return
        if self.trouble is not None:
            log.warning("%s: the state is saved again", self._model)
        self._stuck, self.trouble, self._pause_s = None, None, FIRST_PAUSE_S
        act()

    def behind(self, work: Callable[[], object]) -> None:
        """Do something once what is stuck is done."""
        self._behind.append(work)

    def last(self, work: Callable[[], object]) -> None:
        """Do something after everything else that waits; only the latest is kept."""
        self._last = work

    def tick(self) -> None:
        """Try again what is stuck, when it is time, and go on with what waits behind it."""
        if self._stuck and self._clock() >= self._again_s:
            self.take(*self._stuck)
        while not self._stuck and self._behind:
            self._behind.popleft()()
        if not self._stuck and self._last:
            work, self._last = self._last, None
            work()
