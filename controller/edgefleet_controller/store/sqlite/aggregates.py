"""Windows and roll-ups in SQLite, read together."""

import sqlite3
from collections.abc import Iterator
from functools import partial

from edgefleet_controller.store.contract.aggregates import Aggregate, Aggregates, Origin, Question
from edgefleet_controller.store.contract.rollups import DAY_MS, HOUR_MS
from edgefleet_controller.store.merging import UNKNOWN, Measured, Merger, Span, spans_of
from edgefleet_controller.store.sqlite.columns import from_row, selected
from edgefleet_controller.store.sqlite.database import Database, Snapshot

# Only our own names are interpolated, values are bound. A roll-up has no device, and '' where a window has NULL.
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


class SqliteAggregates(Aggregates):
    """Reads both tables over its own connection."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def answer(self, question: Question) -> list[Aggregate]:
        merger = Merger(question)
        with self._db.snapshot() as snapshot:
            kept_from_ms = next(snapshot.rows("SELECT from_ms FROM kept"))["from_ms"]
            for span in spans_of(question, kept_from_ms):
                for row in _read(snapshot, question, span):
                    merger.add(_measured(row))
        return merger.merged()

    def windows_from_ms(self) -> int:
        row = self._db.row("SELECT from_ms FROM kept")
        return int(row["from_ms"]) if row else 0

    def extent(self) -> tuple[int, int]:
        row = self._db.row(
            """SELECT min(first) AS first, max(last) AS last FROM (
               SELECT min(at_ms) AS first, max(at_ms) AS last FROM windows WHERE rolled = 0
               UNION ALL SELECT min(at_ms), max(at_ms) FROM windows WHERE rolled = 1
               UNION ALL SELECT min(start_ms), max(start_ms) + ?1 - 1 FROM rollups WHERE width_ms = ?1)""",
            [HOUR_MS],
        )
        return (row["first"], row["last"]) if row and row["first"] is not None else (0, -1)


def _read(snapshot: Snapshot, question: Question, span: Span) -> Iterator[sqlite3.Row]:
    asked = [question.model, question.version, question.device, span.since_ms, span.until_ms]
    if span.kind in _WIDTHS:
        return snapshot.rows(_READ["rollups"], [*asked, _WIDTHS[span.kind]])
    return snapshot.rows(_READ["windows"], [*asked, span.kind == "rolled"])


def _measured(row: sqlite3.Row) -> Measured:
    device, region, hardware, link, model, version, variant, at_ms, windows = row[:9]
    origin = Origin(device, region, hardware, link)
    return Measured(origin, model, version, variant, at_ms, windows, partial(from_row, row))
