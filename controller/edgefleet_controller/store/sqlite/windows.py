"""Telemetry windows in SQLite."""

from collections.abc import Iterable
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any

from pydantic_core import from_json, to_json

from edgefleet_controller.store.contract.windows import MAX_LOST, Stored, StoredWindow, WindowNumber, Windows
from edgefleet_controller.store.sqlite.columns import COLUMNS, of_window
from edgefleet_controller.store.sqlite.database import Database

# Columns for the window's fields and its sender's profile, named after the fields.
_WINDOW = ("incarnation", "seq", "started_ms", "duration_ms", "model", "model_version", "variant", "generation")
_PLACE = ("region", "hardware", "link")
_COLUMNS = ("device", *_WINDOW, "received_ms", "at_ms", *_PLACE, *COLUMNS)
_window, _place, _nowhere = attrgetter(*_WINDOW), attrgetter(*_PLACE), (None,) * len(_PLACE)
# Rows per statement: SQLite releases the GIL for every statement, and getting it back from the bus's thread costs
# more than inserting a row.
_ROWS = 100
# How far each acknowledgement can advance, and how many windows are lost on the way. Windows that a device no longer
# has never hold it up; for an incarnation that is new to us, none counts as lost.
_MOVED = """WITH asked AS (SELECT value ->> 0 AS device, value ->> 1 AS incarnation, value ->> 2 AS first_kept
        FROM json_each(?)),
    known AS (SELECT asked.*, acked.through AS known, max(coalesce(acked.through, 0), first_kept - 1) AS base
        FROM asked LEFT JOIN acked USING (device, incarnation))
    SELECT json_group_array(json_array(k.device, k.incarnation,
        CASE WHEN EXISTS (SELECT 1 FROM windows f
                WHERE f.device = k.device AND f.incarnation = k.incarnation AND f.seq = k.base + 1)
            THEN (SELECT w.seq FROM windows w
                WHERE w.device = k.device AND w.incarnation = k.incarnation AND w.seq > k.base
                AND NOT EXISTS (SELECT 1 FROM windows n
                    WHERE n.device = w.device AND n.incarnation = w.incarnation AND n.seq = w.seq + 1)
                ORDER BY w.seq LIMIT 1)
            ELSE k.base END,
        CASE WHEN k.base > k.known THEN k.base - k.known - (SELECT count(*) FROM windows b
            WHERE b.device = k.device AND b.incarnation = k.incarnation
            AND b.seq > k.known AND b.seq < k.first_kept) ELSE 0 END)) AS moved
    FROM known k"""
_ADVANCE = """INSERT INTO acked (device, incarnation, through, lost)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true
    ON CONFLICT (device, incarnation) DO UPDATE SET through = excluded.through, lost = lost + excluded.lost"""
# Unlike sum(), total() cannot overflow, and it is exact below the bound.
_LOST = f"cast(min(total(lost), {MAX_LOST}) AS INTEGER)"
_THROUGH = "SELECT through FROM acked WHERE device = ? AND incarnation = ?"


def _row(stored: StoredWindow) -> tuple[Any, ...]:
    """The values of `_COLUMNS`."""
    device, window, place, received_ms = stored
    return (
        device,
        *_window(window),
        received_ms,
        stored.at_ms,
        *(_place(place) if place else _nowhere),
        *of_window(window),
    )


@cache
def _insert(count: int) -> str:
    """Inserts `count` windows, except those already stored, or rolled up and deleted."""
    row = f"({', '.join('?' for _ in _COLUMNS)})"
    return f"""INSERT OR IGNORE INTO windows ({", ".join(_COLUMNS)})
        SELECT * FROM (VALUES {", ".join([row] * count)})
        WHERE NOT EXISTS (SELECT 1 FROM acked
            WHERE device = column1 AND incarnation = column2 AND forgotten >= column3)"""  # noqa: S608 - our own names


def _json(values: Any) -> str:
    return to_json(values).decode()


class SqliteWindows(Windows):
    """A row per window, and one per incarnation that says how far its windows are stored."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, batch: Iterable[StoredWindow]) -> Stored:
        oldest: dict[tuple[str, str], int] = {}
        rows = []
        for stored in batch:
            rows.append(_row(stored))
            key = (stored.device, stored.window.incarnation)
            oldest[key] = max(oldest.get(key, 0), stored.window.first_kept_seq)
        asked = [(*key, first_kept) for key, first_kept in oldest.items()]
        new = 0
        with self._db.together():
            for at in range(0, len(rows), _ROWS):
                block = rows[at : at + _ROWS]
                new += self._db.execute(_insert(len(block)), chain.from_iterable(block))
            return Stored(self._advanced(asked), new)

    def pass_over(self, unreadable: Iterable[tuple[str, WindowNumber]]) -> dict[tuple[str, str], int]:
        moved: dict[tuple[str, str], int] = {}
        with self._db.together():
            for device, number in sorted(unreadable, key=lambda one: one[1].seq):
                sender = (device, number.incarnation)
                asked = [(*sender, min(number.first_kept_seq, number.seq))]
                moved |= self._advanced(asked)
                if moved[sender] == number.seq - 1:
                    self._db.execute(_ADVANCE, [_json([(*sender, number.seq, 0)])])
                    moved |= self._advanced(asked)
        return moved

    def _advanced(self, asked: list[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
        """Advance the acknowledgements of these incarnations, each with the first window that its device has kept."""
        row = self._db.row(_MOVED, [_json(asked)]) or {}
        self._db.execute(_ADVANCE, [row["moved"]])
        return {(device, incarnation): through for device, incarnation, through, _ in from_json(row["moved"])}

    def through(self, device: str, incarnation: str) -> int:
        row = self._db.row(_THROUGH, [device, incarnation])
        return int(row["through"]) if row else 0

    def lost(self, device: str | None = None) -> int:
        only, asked = ("WHERE device = ?", [device]) if device else ("", [])
        row = self._db.row(f"SELECT {_LOST} AS n FROM acked {only}", asked)  # noqa: S608 - our own words
        return int(row["n"]) if row else 0

    def lost_by(self, devices: Iterable[str]) -> dict[str, int]:
        rows = self._db.tuples(
            f"""SELECT device, {_LOST} FROM acked WHERE device IN (SELECT value FROM json_each(?))
               GROUP BY device HAVING total(lost) > 0""",  # noqa: S608 - our own words
            [_json(list(devices))],
        )
        return dict(rows)

    def unplace(self, device: str, since_ms: int) -> None:
        self._db.execute(
            """UPDATE windows SET region = NULL, hardware = NULL, link = NULL
               WHERE device = ? AND received_ms >= ? AND NOT rolled""",
            [device, since_ms],
        )

    def remove(self, device: str) -> None:
        with self._db.together():
            for table in ("windows", "acked"):
                self._db.execute(f"DELETE FROM {table} WHERE device = ?", [device])  # noqa: S608 - two of our own names

    def count(self, device: str | None = None) -> int:
        row = self._db.row("SELECT count(*) AS n FROM windows WHERE ?1 IS NULL OR device = ?1", [device])
        return int(row["n"]) if row else 0
