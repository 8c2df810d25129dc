"""When this device may fetch and switch: what the controller last said, kept over restarts."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edgefleet_agent.files import LateFile
from edgefleet_process.clocks import clock_is_trusted, wall_ms
from edgefleet_profiles.parts import ACTS, Act
from edgefleet_protocol.messages import DesiredState, Opening

log = logging.getLogger("edgefleet.agent")

FILE = "windows.json"
LOOK_EVERY_S = 1.0


class Openings(BaseModel):
    """What `desired` says of windows; None means at any time."""

    model_config = ConfigDict(frozen=True)

    fetch: Opening | None = None
    switch: Opening | None = None

    def of(self, act: Act) -> Opening | None:
        """The window for an act."""
        return self.fetch if act == "fetch" else self.switch


def may(opening: Opening | None, now_ms: int | None, word_s: float) -> bool:
    """Whether a device may act.

    Its own clock decides as long as it is trusted and the intervals reach; after that, the controller's word.

    Args:
        opening: when it may, in the controller's words.
        now_ms: the device's clock, in milliseconds UTC; None if it isn't trusted.
        word_s: for how many more seconds the controller's last word holds; 0 or less if it has run out.
    """
    if opening is None:
        return True
    if now_ms is not None and opening.intervals and now_ms < opening.intervals[-1].to_ms:
        return any(interval.from_ms <= now_ms < interval.to_ms for interval in opening.intervals)
    return word_s > 0


class DeviceWindows:
    """The windows of one device.

    The intervals are kept on the disk; the controller's word is not, for nobody knows how long a device was off.

    Args:
        folder: the agent's state folder.
        now_ms: the wall clock, in milliseconds UTC; None while it isn't trusted.
        clock: the monotonic clock, in seconds.
    """

    def __init__(
        self,
        folder: Path,
        now_ms: Callable[[], int | None] = lambda: wall_ms() if clock_is_trusted() else None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._now_ms, self._clock = folder / FILE, now_ms, clock
        self._windows = self._read()
        self._heard_s: float | None = None
        self._looked_s, self._open = -LOOK_EVERY_S, dict.fromkeys(ACTS, False)
        self._file: LateFile | None = None

    def hear(self, desired: DesiredState, *, retained: bool) -> None:
        """Take the controller's word; of an old message that the broker retained, only the intervals count."""
        self._heard_s = None if retained else self._clock()
        self._looked_s = -LOOK_EVERY_S
        before, self._windows = self._windows, Openings(fetch=desired.fetch, switch=desired.switch)
        if _kept(self._windows) != _kept(before):
            self._file = LateFile(self._path, _kept(self._windows).model_dump_json(exclude_none=True).encode())

    def may(self, act: Act) -> bool:
        """Whether the device may do this now; the clocks are read at most once a second."""
        now_s = self._clock()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s, now_ms = now_s, self._now_ms()
            self._open = {one: may(self._windows.of(one), now_ms, self._word_s(one, now_s)) for one in ACTS}
        return self._open[act]

    def settle(self) -> None:
        """Write what could not be written before."""
        if self._file:
            self._file.settle()

    def _word_s(self, act: Act, now_s: float) -> float:
        opening = self._windows.of(act)
        if opening is None or self._heard_s is None:
            return 0.0
        return opening.open_s - (now_s - self._heard_s)

    def _read(self) -> Openings:
        try:
            return Openings.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Openings()
        except (OSError, ValidationError, ValueError) as error:
            log.warning("%s cannot be read: waiting for the controller to say it again (%s)", FILE, error)
            return Openings(fetch=Opening(), switch=Opening())


def _kept(windows: Openings) -> Openings:
    """What is worth a write: all but the controller's word, which changes with every message."""
    return Openings(
        fetch=windows.fetch and Opening(intervals=windows.fetch.intervals),
        switch=windows.switch and Opening(intervals=windows.switch.intervals),
    )
