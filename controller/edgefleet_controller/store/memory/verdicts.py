"""Verdicts in memory."""

from operator import attrgetter

from edgefleet_controller.records import VerdictRecord
from edgefleet_controller.store.contract.verdicts import VerdictRecords
from edgefleet_controller.store.memory.fleet_tables import FleetTables

_IN_ORDER = attrgetter("at_ms", "rollout", "profile", "variant")


class MemoryVerdicts(VerdictRecords):
    """Verdicts by model, profile and variant."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables

    def put(self, *verdicts: VerdictRecord) -> None:
        with self._tables.changes.transaction():
            for verdict in verdicts:
                self._tables.verdicts.put((verdict.model, verdict.profile, verdict.variant), verdict)

    def of(self, model: str) -> list[VerdictRecord]:
        with self._tables.changes.turn:
            found = [verdict for verdict in self._tables.verdicts.values() if verdict.model == model]
        return sorted(found, key=_IN_ORDER)
