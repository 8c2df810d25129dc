"""The telemetry store in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from edgefleet_controller.store.contract import TelemetryStore
from edgefleet_controller.store.fair_lock import Turns
from edgefleet_controller.store.memory.aggregates import MemoryAggregates
from edgefleet_controller.store.memory.evidence import MemoryEvidence
from edgefleet_controller.store.memory.rollups import MemoryRollups
from edgefleet_controller.store.memory.tables import Changes
from edgefleet_controller.store.memory.telemetry_tables import TelemetryTables
from edgefleet_controller.store.memory.windows import MemoryWindows


class MemoryTelemetry(TelemetryStore):
    """All nouns over the same tables."""

    def __init__(self, turns: Turns) -> None:
        self._tables = tables = TelemetryTables(Changes(turns.telemetry))
        self.windows = MemoryWindows(tables)
        self.rollups = MemoryRollups(tables)
        self.aggregates = MemoryAggregates(tables)
        self.evidence = MemoryEvidence(tables)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._tables.changes.transaction():
            yield

    def close(self) -> None:
        pass
