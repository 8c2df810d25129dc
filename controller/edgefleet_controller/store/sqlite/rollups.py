"""Roll-ups in SQLite: a column of each window says whether it is in one."""

from collections.abc import Iterable
from typing import Any

from edgefleet_controller.failpoints import reach
from edgefleet_controller.store.contract.aggregates import Aggregate
from edgefleet_controller.store.contract.rollups import DAY_MS, HOUR_MS, Rollups, ceiling, floor
from edgefleet_controller.store.merging import UNKNOWN, WIDTHS_MS, RollupKey
from edgefleet_controller.store.sqlite.columns import COLUMNS, from_row, of_sum
from edgefleet_controller.store.sqlite.database import Database, TableRow

_MAX_COUNT = 2**63 - 1


class SqliteRollups(Rollups):
    """A row per roll-up of an hour or a day."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def roll_up(self, before_ms: int, limit: int) -> int:
        with self._db.transaction():
            windows = self._db.rows(
                """SELECT * FROM windows WHERE rolled = 0 AND at_ms < ? ORDER BY at_ms LIMIT ?""",
                [before_ms, limit],
            )
            merged: dict[RollupKey, Aggregate] = {}
            for window in windows:
                merged.setdefault(_key(window), Aggregate({})).add(1, from_row(window))
            for key, aggregate in merged.items():
                for width_ms in WIDTHS_MS:
                    self._add(key._replace(width_ms=width_ms, start_ms=floor(key.start_ms, width_ms)), aggregate)
            reach("slice_added")
            self._mark(windows)
            reach("slice_rolled")
        return len(windows)

    def _add(self, key: RollupKey, more: Aggregate) -> None:
        merged = Aggregate({})
        where = " AND ".join(f"{column} = ?" for column in key._fields)
        if kept := self._db.row(f"SELECT * FROM rollups WHERE {where}", key):  # noqa: S608 - our own names
            merged.add(kept["windows"], from_row(kept))
        merged.add(more.windows, more.counters)
        counted = dict(zip(COLUMNS, of_sum(merged.counters), strict=True))
        row = {**key._asdict(), "windows": merged.windows, **counted}
        self._db.put("rollups", {column: _at_most(value) for column, value in row.items()})

    def _mark(self, windows: Iterable[TableRow]) -> None:
        for window in windows:
            self._db.execute(
                "UPDATE windows SET rolled = 1 WHERE device = ? AND incarnation = ? AND seq = ?",
                [window["device"], window["incarnation"], window["seq"]],
            )

    def forget_windows(self, received_before_ms: int, abandoned_before_ms: int, limit: int) -> int:
        with self._db.transaction():
            # at_ms is never after received_ms, so the index on at_ms narrows the search.
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
        return self._db.execute("DELETE FROM rollups WHERE start_ms < ?", [floor(before_ms, DAY_MS)])

    def count(self) -> int:
        row = self._db.row("SELECT count(*) AS n FROM rollups")
        return int(row["n"]) if row else 0


def _at_most(value: Any) -> Any:
    """A number capped to what SQLite can store."""
    return min(value, _MAX_COUNT) if isinstance(value, int) else value


def _key(window: TableRow) -> RollupKey:
    hardware, region, link = (UNKNOWN if window[c] is None else window[c] for c in ("hardware", "region", "link"))
    of = (window["model"], window["model_version"], window["variant"], hardware, region, link)
    return RollupKey(HOUR_MS, floor(window["at_ms"], HOUR_MS), *of)
