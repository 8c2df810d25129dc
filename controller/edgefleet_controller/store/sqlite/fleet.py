"""`fleet.db`: registry, devices, rollouts and the audit trail."""

from collections.abc import Iterator
from contextlib import contextmanager

from edgefleet_controller.store.contract import FleetStore
from edgefleet_controller.store.fair_lock import Turns
from edgefleet_controller.store.sqlite.alerts import SqliteAlerts
from edgefleet_controller.store.sqlite.annotations import SqliteAnnotations
from edgefleet_controller.store.sqlite.audit import SqliteAudit
from edgefleet_controller.store.sqlite.conflicts import SqliteConflicts
from edgefleet_controller.store.sqlite.database import Database
from edgefleet_controller.store.sqlite.desired import SqliteDesiredStates
from edgefleet_controller.store.sqlite.devices import SqliteDevices
from edgefleet_controller.store.sqlite.follow_ups import SqliteFollowUps
from edgefleet_controller.store.sqlite.members import SqliteMembers
from edgefleet_controller.store.sqlite.notes import take_notes
from edgefleet_controller.store.sqlite.operations import SqliteOperationRecords
from edgefleet_controller.store.sqlite.references import SqliteReferences
from edgefleet_controller.store.sqlite.registry import SqliteRegistry
from edgefleet_controller.store.sqlite.rollouts import SqliteRollouts
from edgefleet_controller.store.sqlite.segments import SqliteSegments
from edgefleet_controller.store.sqlite.verdicts import SqliteVerdicts


class SqliteFleet(FleetStore):
    """One connection for all nouns, so that a transaction can span them."""

    def __init__(self, db: Database, turns: Turns) -> None:
        self._db, self._turns = db, turns
        take_notes(db)
        self.registry = SqliteRegistry(db)
        self.operations = SqliteOperationRecords(db)
        self.devices = SqliteDevices(db)
        self.annotations = SqliteAnnotations(db)
        self.members = SqliteMembers(db)
        self.segments = SqliteSegments(db)
        self.desired = SqliteDesiredStates(db)
        self.conflicts = SqliteConflicts(db)
        self.rollouts = SqliteRollouts(db)
        self.verdicts = SqliteVerdicts(db)
        self.alerts = SqliteAlerts(db)
        self.references = SqliteReferences(db)
        self.audit = SqliteAudit(db)
        self.follow_ups = SqliteFollowUps(db)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._turns.begin(self._turns.fleet)
        with self._db.transaction():
            yield

    def newest_ms(self) -> int:
        times = "SELECT max(last_seen_ms) AS ms FROM devices UNION ALL SELECT max(at_ms) FROM audit"
        return max(row["ms"] or 0 for row in self._db.rows(times))

    def close(self) -> None:
        self._db.close()
