"""Which incarnations report under each device id, and whether two of them alternate."""

import logging

from edgefleet_controller.fleet.conflict import alternates, is_over, told
from edgefleet_controller.store import FleetStore

log = logging.getLogger(__name__)


class Identities:
    """Detects conflicts; told of reports before they are stored. The caller owns the transaction.

    Args:
        fleet: the fleet's store.
        window_s: an incarnation heard again within this time, after another one, makes a conflict; the conflict ends
            once only one incarnation has been heard for this long.
    """

    def __init__(self, fleet: FleetStore, window_s: float) -> None:
        self._fleet, self._window_ms = fleet, round(window_s * 1000)

    def hear(self, device: str, incarnation: str, now: int) -> None:
        """Note which incarnation reports under a device id."""
        conflicts = self._fleet.conflicts
        current = conflicts.current(device)
        if current is None:
            return
        under_way = conflicts.since_ms(device) is not None
        if current.incarnation == incarnation and not under_way:
            return
        others = conflicts.others(device)
        if under_way and is_over(incarnation, now, [current, *others], self._window_ms):
            self._end(device, now)
        elif not under_way and alternates(incarnation, now, current, others, self._window_ms):
            self._begin(device, told((incarnation, current.incarnation)), now)
        if current.incarnation != incarnation:
            conflicts.keep(device, current, forget_before_ms=now - self._window_ms)

    def _begin(self, device: str, words: str, now: int) -> None:
        self._fleet.conflicts.begin(device, words, now)
        # What they measured since the first change belongs to no known device: gates must not count it.
        self._fleet.follow_ups.unplace(device, now - self._window_ms)
        self._fleet.audit.note(now, "conflict", device, words)
        log.warning("%s is in conflict: %s", device, words)

    def _end(self, device: str, now: int) -> None:
        self._fleet.conflicts.end(device)
        self._fleet.audit.note(now, "conflict over", device)
        log.info("%s is no longer in conflict", device)
