"""Roll-ups of telemetry windows by hour and by day, and what is forgotten when.

A window says itself whether it is in a roll-up, and changes that in the transaction that adds it there: nothing is
counted twice or lost by a kill, and one that comes late for its hour is added like any other.
"""

from collections.abc import Iterable
from typing import Any

from edgefleet_controller.failpoints import reach
from edgefleet_controller.store.columns import COLUMNS, of_sum
from edgefleet_controller.store.database import Database, Row
from edgefleet_controller.store.merging import DAY_MS, HOUR_MS, WIDTHS_MS, Aggregate, ceiling, floor

_KEY = ("width_ms", "start_ms", "model", "model_version", "variant", "hardware", "region", "link")
_MAX_COUNT = 2**63 - 1
UNKNOWN = ""
"""Hardware, region or link of a device that had not reported yet; no real one has this name."""


class RollupStore:
    """Makes roll-ups and deletes what is old, a slice at a time: the writer of new windows never waits long."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def roll_up(self, before_ms: int, limit: int) -> int:
        """Add at most `limit` windows measured before `before_ms`, the oldest first; how many."""
        with self._db.transaction():
            windows = self._db.rows(
                """SELECT *, 1 AS windows FROM windows WHERE rolled = 0 AND at_ms < ? ORDER BY at_ms LIMIT ?""",
                [before_ms, limit],
            )
            merged: dict[tuple[Any, ...], Aggregate] = {}
            for window in windows:
                merged.setdefault(_key(window), Aggregate({})).add(window)
            for key, aggregate in merged.items():
                for width_ms in WIDTHS_MS:
                    self._add((width_ms, floor(key[0], width_ms), *key[1:]), aggregate)
            reach("slice_added")
            self._mark(windows)
            reach("slice_rolled")
        return len(windows)

    def _add(self, key: tuple[Any, ...], more: Aggregate) -> None:
        merged = Aggregate({})
        where = " AND ".join(f"{column} = ?" for column in _KEY)
        if kept := self._db.row(f"SELECT * FROM rollups WHERE {where}", key):  # noqa: S608 - names of ours
            merged.add(kept)
        merged.merge(more)
        counted = dict(zip(COLUMNS, of_sum(merged.counters), strict=True))
        row = {**dict(zip(_KEY, key, strict=True)), "windows": merged.windows, **counted}
        self._db.put("rollups", {column: _at_most(value) for column, value in row.items()})

    def _mark(self, windows: Iterable[Row]) -> None:
        for window in windows:
            self._db.execute(
                "UPDATE windows SET rolled = 1 WHERE device = ? AND incarnation = ? AND seq = ?",
                [window["device"], window["incarnation"], window["seq"]],
            )

    def forget_windows(self, received_before_ms: int, abandoned_before_ms: int, limit: int) -> int:
        """Delete at most `limit` windows that are in a roll-up; how many.

        Args:
            received_before_ms: older ones go once they are acknowledged: a device sends again what is not, and we
                tell a second sending by the first one's row.
            abandoned_before_ms: older ones go in any case; their device never closed a gap.
            limit: how many at most.
        """
        with self._db.transaction():
            # Nothing is received before it was measured, as we count it: at_ms narrows by its index.
            found = self._db.rows(
                """SELECT w.device, w.incarnation, w.seq FROM windows w
                   LEFT JOIN acked a ON a.device = w.device AND a.incarnation = w.incarnation
                   WHERE w.rolled = 1 AND w.at_ms < ?1 AND w.received_ms < ?1
                   AND (w.seq <= a.through OR w.received_ms < ?2) LIMIT ?3""",
                [received_before_ms, abandoned_before_ms, limit],
            )
            for row in found:
                key = [row["device"], row["incarnation"], row["seq"]]
                self._db.execute("DELETE FROM windows WHERE device = ? AND incarnation = ? AND seq = ?", key)
                self._db.execute(
                    """UPDATE acked SET forgotten = max(forgotten, ?3), through = max(through, ?3)
                       WHERE device = ?1 AND incarnation = ?2""",
                    key,
                )
            reach("slice_deleted")
            kept_from_ms = ceiling(received_before_ms, HOUR_MS)
            self._db.execute("UPDATE kept SET from_ms = max(from_ms, ?)", [kept_from_ms])
        reach("slice_forgotten")
        return len(found)

    def forget_rollups(self, before_ms: int) -> int:
        """Delete the days that ended before `before_ms`, and their hours; how many roll-ups that were."""
        return self._db.execute("DELETE FROM rollups WHERE start_ms < ?", [floor(before_ms, DAY_MS)])

    def count(self) -> int:
        """How many roll-ups are kept."""
        row = self._db.row("SELECT count(*) AS n FROM rollups")
        return int(row["n"]) if row else 0


def _at_most(value: Any) -> Any:
    """A number that SQLite can keep."""
    return min(value, _MAX_COUNT) if isinstance(value, int) else value


def _key(window: Row) -> tuple[Any, ...]:
    known = (UNKNOWN if window[column] is None else window[column] for column in _KEY[2:])
    return floor(window["at_ms"], HOUR_MS), *known
