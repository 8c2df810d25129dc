"""Telemetry windows: stored once each, acknowledged in order, merged with roll-ups for reading."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from pydantic_core import from_json, to_json

from edgefleet_contract.telemetry import GroupBy
from edgefleet_controller.store.columns import COLUMNS, of_window, selected
from edgefleet_controller.store.database import Database, Row, Snapshot
from edgefleet_controller.store.merging import DAY_MS, HOUR_MS, Aggregate, Merger, Question, Span, spans
from edgefleet_controller.store.rollups import UNKNOWN
from edgefleet_protocol.messages import TelemetryWindow

MAX_LATE_MS = 7 * 24 * 3_600_000
"""A full spool of a device is that old; what claims to be older was measured by a clock that is wrong."""

_TOLD: dict[str, str] = {
    "device": "device",
    "incarnation": "window.incarnation",
    "seq": "window.seq",
    "received_ms": "received_ms",
    "started_ms": "window.started_ms",
    "duration_ms": "window.duration_ms",
    "model": "window.model",
    "model_version": "window.model_version",
    "variant": "window.variant",
    "generation": "window.generation",
    "at_ms": "at_ms",
}
"""Columns that tell which window it is, and what of a `StoredWindow` each one holds."""
_PLACE = ("region", "hardware", "link")
_COLUMNS = (*_TOLD, *_PLACE, *COLUMNS)
_told, _place, _nowhere = attrgetter(*_TOLD.values()), attrgetter(*_PLACE), (None,) * len(_PLACE)
# Many rows a statement: SQLite lets go of the interpreter once for each, and to take it back from the bus's thread,
# which receives meanwhile, costs more than a row.
_ROWS = 100
# How far each acknowledgement can move, and how many windows were lost on the way. What a device no longer has never
# holds it up; of an incarnation that is new to us nothing is known as lost.
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
_THROUGH = "SELECT through FROM acked WHERE device = ? AND incarnation = ?"
# The names are ours and what varies is bound; a roll-up has no device, and '' where a window has NULL.
_READ = {
    "windows": f"""SELECT device, region, hardware, link, model, model_version, variant, at_ms, 1 AS windows,
        {selected()} FROM windows
        WHERE (?1 IS NULL OR model = ?1) AND (?2 IS NULL OR model_version = ?2) AND (?3 IS NULL OR device = ?3)
        AND at_ms >= ?4 AND at_ms < ?5 AND rolled = ?6""",  # noqa: S608
    "rollups": f"""SELECT NULL AS device, nullif(region, '{UNKNOWN}') AS region,
        nullif(hardware, '{UNKNOWN}') AS hardware, nullif(link, '{UNKNOWN}') AS link, model, model_version, variant,
        start_ms AS at_ms, windows, {selected()} FROM rollups
        WHERE (?1 IS NULL OR model = ?1) AND (?2 IS NULL OR model_version = ?2) AND ?3 IS NULL
        AND start_ms >= ?4 AND start_ms < ?5 AND width_ms = ?6""",  # noqa: S608
}
_WIDTHS = {"hours": HOUR_MS, "days": DAY_MS}


class SenderProfile(Protocol):
    """What the controller knows of a window's sender: the parts of its profile, as in `Facts`."""

    @property
    def region(self) -> str:
        """The region's name."""

    @property
    def hardware(self) -> str:
        """The hardware's name."""

    @property
    def link(self) -> str:
        """The link's name."""


class StoredWindow(NamedTuple):
    """A window with what the controller knows of its sender; a sender that has not reported yet has no place."""

    device: str
    window: TelemetryWindow
    place: SenderProfile | None
    received_ms: int

    @property
    def at_ms(self) -> int:
        """When it was measured: by the device's clock if that is trusted and possible, else when it was received."""
        started = self.window.started_ms
        if self.window.clock_trusted and started is not None:
            possible = self.received_ms - MAX_LATE_MS <= started <= self.received_ms
            return started if possible else self.received_ms
        return self.received_ms


def _row(stored: StoredWindow) -> tuple[Any, ...]:
    """The values of `_COLUMNS`."""
    place = _place(stored.place) if stored.place else _nowhere
    return (*_told(stored), *place, *of_window(stored.window))


@cache
def _insert(count: int) -> str:
    """So many windows, each stored once: not when it is there, or was deleted after it had gone into a roll-up."""
    row = f"({', '.join('?' for _ in _COLUMNS)})"
    return f"""INSERT OR IGNORE INTO windows ({", ".join(_COLUMNS)})
        SELECT * FROM (VALUES {", ".join([row] * count)})
        WHERE NOT EXISTS (SELECT 1 FROM acked
            WHERE device = column1 AND incarnation = column2 AND forgotten >= column3)"""  # noqa: S608 - names of ours


def _json(values: Any) -> str:
    return to_json(values).decode()


class TelemetryStore:
    """Windows and how far each device's are stored."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is changed, or nothing of it; nests, and other threads' transactions wait for its end."""
        with self._db.transaction():
            yield

    def put(self, batch: Iterable[StoredWindow]) -> dict[tuple[str, str], int]:
        """Store a batch in one transaction; the highest seq stored without a gap, by (device, incarnation)."""
        oldest: dict[tuple[str, str], int] = {}
        rows = []
        for stored in batch:
            rows.append(_row(stored))
            key = (stored.device, stored.window.incarnation)
            oldest[key] = max(oldest.get(key, 0), stored.window.first_kept_seq)
        asked = [(*key, first_kept) for key, first_kept in oldest.items()]
        with self._db.transaction():
            for at in range(0, len(rows), _ROWS):
                block = rows[at : at + _ROWS]
                self._db.execute(_insert(len(block)), chain.from_iterable(block))
            row = self._db.row(_MOVED, [_json(asked)]) or {}
            self._db.execute(_ADVANCE, [row["moved"]])
        return {(device, incarnation): through for device, incarnation, through, _ in from_json(row["moved"])}

    def through(self, device: str, incarnation: str) -> int:
        """Through which number the windows of an incarnation are stored."""
        row = self._db.row(_THROUGH, [device, incarnation])
        return int(row["through"]) if row else 0

    def lost(self, device: str | None = None) -> int:
        """How many windows a device, or all of them, no longer had when we missed them."""
        only, asked = ("WHERE device = ?", [device]) if device else ("", [])
        row = self._db.row(f"SELECT sum(lost) AS n FROM acked {only}", asked)  # noqa: S608 - words of ours
        return int(row["n"] or 0) if row else 0

    def lost_by(self, devices: Iterable[str]) -> dict[str, int]:
        """How many windows each of these devices no longer had when we missed them; only those that lost any."""
        rows = self._db.tuples(
            """SELECT device, sum(lost) FROM acked WHERE device IN (SELECT value FROM json_each(?))
               GROUP BY device HAVING sum(lost) > 0""",
            [_json(list(devices))],
        )
        return dict(rows)

    def forget_place(self, device: str, since_ms: int) -> None:
        """Windows that a device sent since then are no profile's."""
        self._db.execute(
            """UPDATE windows SET region = NULL, hardware = NULL, link = NULL
               WHERE device = ? AND received_ms >= ? AND NOT rolled""",
            [device, since_ms],
        )

    def aggregate(self, group_by: tuple[GroupBy, ...] = ("variant",), **asked: Any) -> list[Aggregate]:
        """Windows and roll-ups merged by the given columns; see `Question` for what else can be asked."""
        return self.answer(Question(group_by=group_by, **asked))

    def answer(self, question: Question) -> list[Aggregate]:
        """Windows and roll-ups merged; both are read as they stand at one moment, and no writer waits for it."""
        merger = Merger(question)
        with self._db.snapshot() as snapshot:
            kept = next(snapshot.rows("SELECT from_ms FROM kept"))["from_ms"]
            by_hour = question.bucket == "hour"
            asked = spans(
                question.since_ms, question.until_ms, kept, windows_only=question.windows_only, by_hour=by_hour
            )
            for span in asked:
                for row in _read(snapshot, question, span):
                    merger.add(row)
        return merger.merged()

    def windows_from_ms(self) -> int:
        """Since when every window is kept, by the time of its measuring; what is older may be only in roll-ups."""
        row = self._db.row("SELECT from_ms FROM kept")
        return int(row["from_ms"]) if row else 0

    def extent(self) -> tuple[int, int]:
        """When the first and the last of what is kept was measured; (0, -1) when nothing is."""
        row = self._db.row(
            """SELECT min(first) AS first, max(last) AS last FROM (
               SELECT min(at_ms) AS first, max(at_ms) AS last FROM windows WHERE rolled = 0
               UNION ALL SELECT min(at_ms), max(at_ms) FROM windows WHERE rolled = 1
               UNION ALL SELECT min(start_ms), max(start_ms) + ?1 - 1 FROM rollups WHERE width_ms = ?1)""",
            [HOUR_MS],
        )
        return (row["first"], row["last"]) if row and row["first"] is not None else (0, -1)

    def forget(self, device: str) -> None:
        """Remove everything that one device reported."""
        with self._db.transaction():
            for table in ("windows", "acked"):
                self._db.execute(f"DELETE FROM {table} WHERE device = ?", [device])  # noqa: S608 - two names of ours

    def count(self, device: str | None = None) -> int:
        """How many windows are stored."""
        row = self._db.row("SELECT count(*) AS n FROM windows WHERE ?1 IS NULL OR device = ?1", [device])
        return int(row["n"]) if row else 0


def _read(snapshot: Snapshot, question: Question, span: Span) -> Iterator[Row]:
    asked = [question.model, question.version, question.device, span.since_ms, span.until_ms]
    if span.kind in _WIDTHS:
        return snapshot.rows(_READ["rollups"], [*asked, _WIDTHS[span.kind]])
    return snapshot.rows(_READ["windows"], [*asked, span.kind == "rolled"])
