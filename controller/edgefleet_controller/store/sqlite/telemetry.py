"""`telemetry.db`: windows, acknowledgements and roll-ups."""

from collections.abc import Iterator
from contextlib import contextmanager

from edgefleet_controller.store.contract import TelemetryStore
from edgefleet_controller.store.sqlite.aggregates import SqliteAggregates
from edgefleet_controller.store.sqlite.database import Database
from edgefleet_controller.store.sqlite.evidence import SqliteEvidence
from edgefleet_controller.store.sqlite.rollups import SqliteRollups
from edgefleet_controller.store.sqlite.windows import SqliteWindows


class SqliteTelemetry(TelemetryStore):
    """One connection for writing; long reads have their own."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.windows = SqliteWindows(db)
        self.rollups = SqliteRollups(db)
        self.aggregates = SqliteAggregates(db)
        self.evidence = SqliteEvidence(db)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._db.transaction():
            yield

    def close(self) -> None:
        self._db.close()
