"""Evidence in SQLite."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from sqlite3 import Row

from edgefleet_controller.store.contract.evidence import EvidenceSource
from edgefleet_controller.store.gathering import ArrivedWindow, EvidenceSnapshot, GatheredEvidence
from edgefleet_controller.store.sqlite.columns import from_row, selected
from edgefleet_controller.store.sqlite.database import Database, Snapshot

_COLUMNS = f"""device, incarnation, seq, received_ms, region || '/' || hardware || '/' || link AS profile, variant,
    generation, {selected(without=("categories",))}"""
# The index starts with model and version, so each version takes a single look-up.
_SINCE = f"""WITH RECURSIVE versions (n) AS (
    SELECT min(model_version) FROM windows WHERE model = ?1 UNION ALL
    SELECT (SELECT min(model_version) FROM windows WHERE model = ?1 AND model_version > n)
    FROM versions WHERE n IS NOT NULL)
    SELECT {_COLUMNS} FROM versions JOIN windows
    ON model = ?1 AND model_version = n AND received_ms >= ?2"""  # noqa: S608 - our own names
_LABELLED = f"""SELECT {_COLUMNS} FROM windows INDEXED BY windows_with_scores
    WHERE model = ?1 AND moments <> '{{}}' AND received_ms < ?2
    ORDER BY received_ms DESC LIMIT ?3"""  # noqa: S608 - our own names


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
        return map(_arrived, self._snapshot.rows(_SINCE, [model, since_ms]))

    def labelled(self, model: str, before_ms: int, at_most: int) -> Iterator[ArrivedWindow]:
        return map(_arrived, self._snapshot.rows(_LABELLED, [model, before_ms, at_most]))


def _arrived(row: Row) -> ArrivedWindow:
    device, incarnation, seq, received_ms, profile, variant, generation = row[:7]
    counters = partial(from_row, row, latency=False)
    return ArrivedWindow(device, incarnation, seq, received_ms, profile, variant, generation, counters, row["latency"])
