"""Roll-ups in memory."""

from itertools import islice

from edgefleet_controller.store.contract.rollups import DAY_MS, HOUR_MS, Rollups, ceiling, floor
from edgefleet_controller.store.memory.telemetry_tables import (
    Acknowledged,
    KeptWindow,
    Rollup,
    TelemetryTables,
    WindowKey,
)
from edgefleet_controller.store.merging import UNKNOWN, WIDTHS_MS, RollupKey
from edgefleet_protocol.counters import Counters


class MemoryRollups(Rollups):
    """Roll-ups by what they cover."""

    def __init__(self, tables: TelemetryTables) -> None:
        self._tables = tables

    def roll_up(self, before_ms: int, limit: int) -> int:
        windows = self._tables.windows
        with self._tables.changes.transaction():
            due = [(k.stored.at_ms, key) for key, k in windows.items() if not k.rolled and k.stored.at_ms < before_ms]
            oldest = [key for _, key in sorted(due)[:limit]]
            for key, kept in zip(oldest, windows.values_at(oldest), strict=True):
                for width_ms in WIDTHS_MS:
                    self._add(_key(kept, width_ms), kept.stored.window.counters)
                windows.put(key, kept._replace(rolled=True))
        return len(oldest)

    def _add(self, key: RollupKey, more: Counters) -> None:
        known = self._tables.rollups.get(key)
        merged = Counters()
        if known:
            merged.add(known.counters)
        merged.add(more)
        self._tables.rollups.put(key, Rollup(1 + (known.windows if known else 0), merged))

    def forget_windows(self, received_before_ms: int, abandoned_before_ms: int, limit: int) -> int:
        with self._tables.changes.transaction():
            due = (
                key
                for key, kept in self._tables.windows.items()
                if kept.rolled
                and max(kept.stored.at_ms, kept.stored.received_ms) < received_before_ms
                and (self._is_acknowledged(key) or kept.stored.received_ms < abandoned_before_ms)
            )
            gone = list(islice(due, limit))
            for key in gone:
                self._tables.windows.pop(key)
                self._forget(key)
            kept_from_ms = max(ceiling(received_before_ms, HOUR_MS), self._tables.kept_from_ms.get(None) or 0)
            self._tables.kept_from_ms.put(None, kept_from_ms)
        return len(gone)

    def _is_acknowledged(self, key: WindowKey) -> bool:
        device, incarnation, seq = key
        known = self._tables.acknowledged.get((device, incarnation))
        return known is not None and seq <= known.through

    def _forget(self, key: WindowKey) -> None:
        device, incarnation, seq = key
        known = self._tables.acknowledged.get((device, incarnation)) or Acknowledged()
        moved = known._replace(through=max(known.through, seq), forgotten=max(known.forgotten, seq))
        self._tables.acknowledged.put((device, incarnation), moved)

    def forget_rollups(self, before_ms: int) -> int:
        with self._tables.changes.transaction():
            gone = [key for key, _ in self._tables.rollups.items() if key.start_ms < floor(before_ms, DAY_MS)]
            for key in gone:
                self._tables.rollups.pop(key)
        return len(gone)

    def count(self) -> int:
        with self._tables.changes.turn:
            return len(self._tables.rollups)


def _key(kept: KeptWindow, width_ms: int) -> RollupKey:
    window, start_ms = kept.stored.window, floor(kept.stored.at_ms, width_ms)
    region, hardware, link = (UNKNOWN if part is None else part for part in kept.place)
    return RollupKey(width_ms, start_ms, window.model, window.model_version, window.variant, hardware, region, link)
