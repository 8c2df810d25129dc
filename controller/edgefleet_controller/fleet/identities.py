"""Which incarnations report under which device id, and whether two of them do so in turn."""

import logging

from edgefleet_controller.fleet.conflict import alternates, is_over, told
from edgefleet_controller.store import FleetStore

log = logging.getLogger(__name__)


class Identities:
    """Told of every report before it is kept; the caller owns the transaction.

    Args:
        fleet: where it is kept.
        window_s: who is heard again within it after another was heard is in conflict; one that only a single
            incarnation is heard of for as long is no longer.
    """

    def __init__(self, fleet: FleetStore, window_s: float) -> None:
        self._fleet, self._window_ms = fleet, round(window_s * 1000)

    def hear(self, device: str, incarnation: str, now: int) -> None:
        """Note who reports under a device id."""
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
        # What both measured since the first change is nobody's: no gate may count it for a profile.
        self._fleet.follow_ups.unplace(device, now - self._window_ms)
        self._fleet.audit.note(now, "conflict", device, words)
        log.warning("%s is in conflict: %s", device, words)

    def _end(self, device: str, now: int) -> None:
        self._fleet.conflicts.end(device)
        self._fleet.audit.note(now, "conflict over", device)
        log.info("%s is no longer in conflict", device)
