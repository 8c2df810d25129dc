"""Numbered migrations of telemetry.db; existing ones never change, new ones are added."""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

TELEMETRY = Migrations("telemetry")

_TELEMETRY_001 = (
    """CREATE TABLE windows (device TEXT, incarnation TEXT, seq INTEGER, received_ms INTEGER NOT NULL,
       started_ms INTEGER, duration_ms INTEGER NOT NULL, model TEXT NOT NULL, model_version INTEGER NOT NULL,
       variant TEXT NOT NULL, generation INTEGER NOT NULL, region TEXT, hardware TEXT, link TEXT,
       requests INTEGER NOT NULL, errors INTEGER NOT NULL, not_finite INTEGER NOT NULL, latency TEXT,
       labelled INTEGER NOT NULL, correct INTEGER NOT NULL, predicted TEXT NOT NULL,
       PRIMARY KEY (device, incarnation, seq)) WITHOUT ROWID""",
    "CREATE INDEX windows_by_model ON windows (model, model_version, received_ms)",
    """CREATE TABLE acked (device TEXT, incarnation TEXT, through INTEGER NOT NULL,
       PRIMARY KEY (device, incarnation)) WITHOUT ROWID""",
)

_TELEMETRY_002 = (
    # When it was measured, and whether it is in a roll-up. SQLite supplies the defaults of new columns, so that rows
    # are rewritten only for at_ms.
    "ALTER TABLE windows ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE windows ADD COLUMN rolled INTEGER NOT NULL DEFAULT 0",
    "UPDATE windows SET at_ms = received_ms",
    "CREATE INDEX windows_by_time ON windows (rolled, at_ms)",
    # The highest seq that was deleted: windows up to it that arrive again are ignored.
    "ALTER TABLE acked ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0",
    # By hour and again by day, so that months are read a day at a time.
    """CREATE TABLE rollups (width_ms INTEGER, start_ms INTEGER, model TEXT, model_version INTEGER, variant TEXT,
       hardware TEXT, region TEXT, link TEXT, windows INTEGER NOT NULL, requests INTEGER NOT NULL,
       errors INTEGER NOT NULL, not_finite INTEGER NOT NULL, labelled INTEGER NOT NULL, correct INTEGER NOT NULL,
       predicted TEXT NOT NULL, latency TEXT,
       PRIMARY KEY (width_ms, start_ms, model, model_version, variant, hardware, region, link)) WITHOUT ROWID""",
    "CREATE TABLE kept (from_ms INTEGER NOT NULL)",
    "INSERT INTO kept VALUES (0)",
)

_TELEMETRY_003 = ("ALTER TABLE acked ADD COLUMN lost INTEGER NOT NULL DEFAULT 0",)


def _labels_as_moments(table: str) -> tuple[str, ...]:
    """Turn counts of labels and right answers into moments: scores of 1 and 0, their sums in millionths."""
    # As text: counts of years, times a million, exceed 63 bits.
    sums = "iif(correct, correct || '000000', '0')"
    moments = f"""'{{"scored":{{"n":' || labelled || ',"sum":' || {sums} || ',"sum2":' || {sums} || '}}}}'"""
    return (
        f"ALTER TABLE {table} ADD COLUMN moments TEXT NOT NULL DEFAULT '{{}}'",
        f"UPDATE {table} SET moments = {moments} WHERE labelled",  # noqa: S608 - two of our own names
        f"ALTER TABLE {table} DROP COLUMN labelled",
        f"ALTER TABLE {table} DROP COLUMN correct",
        f"ALTER TABLE {table} RENAME COLUMN predicted TO categories",
    )


_TELEMETRY_004 = (*_labels_as_moments("windows"), *_labels_as_moments("rollups"))

_TELEMETRY_005 = (
    # Evidence looks back for labels, which most windows don't have.
    "CREATE INDEX windows_with_scores ON windows (model, received_ms) WHERE moments <> '{}'",
)

_TELEMETRY_006 = (
    "ALTER TABLE windows ADD COLUMN refused_labels INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rollups ADD COLUMN refused_labels INTEGER NOT NULL DEFAULT 0",
)


@TELEMETRY()
def m001_windows(db: Database) -> None:
    """Windows keyed by device, incarnation and seq, so that a window sent twice is one row."""
    for statement in _TELEMETRY_001:
        db.execute(statement)


@TELEMETRY()
def m002_rollups(db: Database) -> None:
    """Hourly roll-ups, and a mark on windows that are in one."""
    for statement in _TELEMETRY_002:
        db.execute(statement)


@TELEMETRY()
def m003_lost_windows(db: Database) -> None:
    """How many windows a device dropped before they were stored."""
    for statement in _TELEMETRY_003:
        db.execute(statement)


@TELEMETRY()
def m004_moments(db: Database) -> None:
    """Moments by name, in place of counts of labels and right answers."""
    for statement in _TELEMETRY_004:
        db.execute(statement)


@TELEMETRY()
def m005_windows_with_scores(db: Database) -> None:
    """An index of the windows that have labels."""
    for statement in _TELEMETRY_005:
        db.execute(statement)


@TELEMETRY()
def m006_refused_labels(db: Database) -> None:
    """How many labels devices refused as none of their model's classes."""
    for statement in _TELEMETRY_006:
        db.execute(statement)
