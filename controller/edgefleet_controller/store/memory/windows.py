"""Telemetry windows in memory."""

from collections.abc import Iterable

from edgefleet_controller.store.contract.windows import MAX_LOST, Stored, StoredWindow, WindowNumber, Windows
from edgefleet_controller.store.memory.telemetry_tables import Acknowledged, KeptWindow, Place, TelemetryTables

_NOWHERE: Place = (None, None, None)


class MemoryWindows(Windows):
    """Windows by device, incarnation and seq."""

    def __init__(self, tables: TelemetryTables) -> None:
        self._tables = tables

    def put(self, batch: Iterable[StoredWindow]) -> Stored:
        oldest: dict[tuple[str, str], int] = {}
        new = 0
        with self._tables.changes.transaction():
            for stored in batch:
                window = stored.window
                sender = (stored.device, window.incarnation)
                oldest[sender] = max(oldest.get(sender, 0), window.first_kept_seq)
                known = self._tables.acknowledged.get(sender) or Acknowledged()
                key = (*sender, window.seq)
                if key not in self._tables.windows and window.seq > known.forgotten:
                    place = stored.place
                    where = (place.region, place.hardware, place.link) if place else _NOWHERE
                    self._tables.windows.put(key, KeptWindow(stored, where, rolled=False))
                    new += 1
            return Stored({sender: self._advance(sender, first_kept) for sender, first_kept in oldest.items()}, new)

    def pass_over(self, unreadable: Iterable[tuple[str, WindowNumber]]) -> dict[tuple[str, str], int]:
        moved: dict[tuple[str, str], int] = {}
        with self._tables.changes.transaction():
            for device, number in sorted(unreadable, key=lambda one: one[1].seq):
                sender, first_kept = (device, number.incarnation), min(number.first_kept_seq, number.seq)
                moved[sender] = self._advance(sender, first_kept)
                if moved[sender] == number.seq - 1:
                    known = self._tables.acknowledged.get(sender) or Acknowledged()
                    self._tables.acknowledged.put(sender, known._replace(through=number.seq))
                    moved[sender] = self._advance(sender, first_kept)
        return moved

    def _advance(self, sender: tuple[str, str], first_kept: int) -> int:
        """Advance an acknowledgement over stored windows, and count those it skips."""
        windows, known = self._tables.windows, self._tables.acknowledged.get(sender)
        acknowledged = known or Acknowledged()
        through = max(acknowledged.through, first_kept - 1)
        lost = 0
        if known and through > known.through:
            device, incarnation = sender
            # Over what is stored: a device can claim a first window of any number, which is too far to count to.
            stored = windows.where("device", device)
            came = sum(one == incarnation and known.through < seq < first_kept for _, one, seq in stored)
            lost = first_kept - 1 - known.through - came
        while (*sender, through + 1) in windows:
            through += 1
        moved = acknowledged._replace(through=through, lost=acknowledged.lost + lost)
        self._tables.acknowledged.put(sender, moved)
        return through

    def through(self, device: str, incarnation: str) -> int:
        with self._tables.changes.turn:
            return (self._tables.acknowledged.get((device, incarnation)) or Acknowledged()).through

    def lost(self, device: str | None = None) -> int:
        acknowledged = self._tables.acknowledged
        with self._tables.changes.turn:
            if device is None:
                told = acknowledged.values()
            else:
                told = acknowledged.values_at(acknowledged.where("device", device))
            return min(sum(known.lost for known in told), MAX_LOST)

    def lost_by(self, devices: Iterable[str]) -> dict[str, int]:
        with self._tables.changes.turn:
            found = {device: self.lost(device) for device in devices}
        return {device: lost for device, lost in found.items() if lost}

    def unplace(self, device: str, since_ms: int) -> None:
        windows = self._tables.windows
        with self._tables.changes.transaction():
            keys = windows.where("device", device)
            for key, kept in zip(keys, windows.values_at(keys), strict=True):
                if kept.stored.received_ms >= since_ms and not kept.rolled:
                    windows.put(key, kept._replace(place=_NOWHERE))

    def remove(self, device: str) -> None:
        with self._tables.changes.transaction():
            for key in self._tables.windows.where("device", device):
                self._tables.windows.pop(key)
            for sender in self._tables.acknowledged.where("device", device):
                self._tables.acknowledged.pop(sender)

    def count(self, device: str | None = None) -> int:
        windows = self._tables.windows
        with self._tables.changes.turn:
            return len(windows) if device is None else len(windows.where("device", device))
