"""The fleet's store in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from edgefleet_controller.store.contract import FleetStore
from edgefleet_controller.store.fair_lock import Turns
from edgefleet_controller.store.memory.alerts import MemoryAlerts
from edgefleet_controller.store.memory.annotations import MemoryAnnotations
from edgefleet_controller.store.memory.audit import MemoryAudit
from edgefleet_controller.store.memory.conflicts import MemoryConflicts
from edgefleet_controller.store.memory.desired import MemoryDesiredStates
from edgefleet_controller.store.memory.devices import MemoryDevices
from edgefleet_controller.store.memory.fleet_tables import FleetTables
from edgefleet_controller.store.memory.follow_ups import MemoryFollowUps
from edgefleet_controller.store.memory.members import MemoryMembers
from edgefleet_controller.store.memory.operations import MemoryOperationRecords
from edgefleet_controller.store.memory.references import MemoryReferences
from edgefleet_controller.store.memory.registry import MemoryRegistry
from edgefleet_controller.store.memory.rollouts import MemoryRollouts
from edgefleet_controller.store.memory.segments import MemorySegments
from edgefleet_controller.store.memory.tables import Changes
from edgefleet_controller.store.memory.verdicts import MemoryVerdicts


class MemoryFleet(FleetStore):
    """All nouns over the same tables."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._tables = tables = FleetTables(Changes(turns.fleet))
        self.registry = MemoryRegistry(tables)
        self.operations = MemoryOperationRecords(tables)
        self.devices = MemoryDevices(tables)
        self.annotations = MemoryAnnotations(tables)
        self.members = MemoryMembers(tables)
        self.segments = MemorySegments(tables)
        self.desired = MemoryDesiredStates(tables)
        self.conflicts = MemoryConflicts(tables)
        self.rollouts = MemoryRollouts(tables)
        self.verdicts = MemoryVerdicts(tables)
        self.alerts = MemoryAlerts(tables)
        self.references = MemoryReferences(tables)
        self.audit = MemoryAudit(tables)
        self.follow_ups = MemoryFollowUps(tables)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._turns.begin(self._turns.fleet)
        with self._tables.changes.transaction():
            yield

    def newest_ms(self) -> int:
        with self._tables.changes.turn:
            heard = [report.last_seen_ms for report in self._tables.devices.values()]
            return max([0, *heard, *(entry.at_ms for entry in self._tables.audit.values())])

    def close(self) -> None:
        pass
