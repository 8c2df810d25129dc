"""Evidence in SQLite."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from edgefleet_controller.store.contract.evidence import EvidenceSource
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.gathering import ArrivedWindow, EvidenceSnapshot, GatheredEvidence, Of
from edgefleet_controller.store.sqlite.columns import from_row, selected, summed
from edgefleet_controller.store.sqlite.database import Database, Snapshot
from edgefleet_protocol.counters import Counters

# The index starts with model and version, so each version takes a single look-up.
_SINCE = f"""WITH RECURSIVE versions (n) AS (
    SELECT min(model_version) FROM windows WHERE model = ?1 UNION ALL
    SELECT (SELECT min(model_version) FROM windows WHERE model = ?1 AND model_version > n)
    FROM versions WHERE n IS NOT NULL)
    SELECT device, incarnation, seq, received_ms, region || '/' || hardware || '/' || link AS profile, variant,
    {selected(without=("categories",))}
    FROM versions JOIN windows ON model = ?1 AND model_version = n AND received_ms >= ?2"""  # noqa: S608
_GROUP = "region || '/' || hardware || '/' || link AS profile, variant"
# Old windows are deleted and remain in hourly roll-ups; `rolled` marks the windows that are already in one.
_COUNTED = f"region, hardware, link, variant, {selected(without=('latency', 'categories'))}"
_EVER = f"""SELECT {_GROUP}, {summed()} FROM (
    SELECT {_COUNTED} FROM windows WHERE rolled = 0 AND model = ?1
    UNION ALL SELECT {_COUNTED} FROM rollups
    WHERE width_ms = {HOUR_MS} AND model = ?1) GROUP BY 1, 2"""  # noqa: S608 - our own names


class SqliteEvidence(EvidenceSource):
    """Reads windows as they arrive, over its own connection."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def gather(self, model: str, since_ms: int) -> GatheredEvidence:
        return GatheredEvidence(self.snapshot, model, since_ms)

    @contextmanager
    def snapshot(self) -> Iterator["SqliteEvidenceSnapshot"]:
        """A snapshot of committed data."""
        with self._db.snapshot() as snapshot:
            yield SqliteEvidenceSnapshot(snapshot)


class SqliteEvidenceSnapshot(EvidenceSnapshot):
    """The two statements that evidence needs."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def arrived(self, model: str, since_ms: int) -> Iterator[ArrivedWindow]:
        for row in self._snapshot.rows(_SINCE, [model, since_ms]):
            device, incarnation, seq, received_ms, profile, variant = row[:6]
            counters = partial(from_row, row, latency=False)
            yield ArrivedWindow(device, incarnation, seq, received_ms, profile, variant, counters, row["latency"])

    def ever(self, model: str) -> dict[Of, Counters]:
        return {(row["profile"], row["variant"]): from_row(row) for row in self._snapshot.rows(_EVER, [model])}
