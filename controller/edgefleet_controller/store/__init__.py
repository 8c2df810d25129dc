"""The store: two SQLite files in WAL mode, our types in and out. No SQL stands anywhere else."""

from pathlib import Path

from edgefleet_controller.errors import StateUnusable, StoreUnavailable
from edgefleet_controller.store.conflicts import ConflictStore
from edgefleet_controller.store.database import Database
from edgefleet_controller.store.devices import DeviceStore
from edgefleet_controller.store.evidence import EvidenceStore
from edgefleet_controller.store.follow_ups import FollowUpStore
from edgefleet_controller.store.members import MemberStore
from edgefleet_controller.store.migrations import FLEET, TELEMETRY
from edgefleet_controller.store.notes import take_notes
from edgefleet_controller.store.references import ReferenceStore
from edgefleet_controller.store.registry import RegistryStore
from edgefleet_controller.store.rollouts import RolloutStore
from edgefleet_controller.store.rollups import RollupStore
from edgefleet_controller.store.telemetry import TelemetryStore

__all__ = ["Store"]


class Store:
    """Everything that the controller knows; safe to use from any thread.

    Raises:
        StateUnusable: the disk, or another program, does not let it be opened.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # FULL: a decision that was told to a device must survive power loss. NORMAL: devices send telemetry again.
            self._fleet = Database(folder / "fleet.db", "FULL", FLEET)
            self._telemetry = Database(folder / "telemetry.db", "NORMAL", TELEMETRY, never_within=self._fleet)
            take_notes(self._fleet)
        except StoreUnavailable as why:
            raise StateUnusable(f"{folder} cannot be opened: {why}, then start again") from None
        self.registry = RegistryStore(self._fleet)
        self.devices = DeviceStore(self._fleet)
        self.members = MemberStore(self._fleet)
        self.conflicts = ConflictStore(self._fleet)
        self.follow_ups = FollowUpStore(self._fleet)
        self.rollouts = RolloutStore(self._fleet)
        self.references = ReferenceStore(self._fleet)
        self.telemetry = TelemetryStore(self._telemetry)
        self.rollups = RollupStore(self._telemetry)
        self.evidence = EvidenceStore(self._telemetry)

    def newest_ms(self) -> int:
        """The latest time that is written down, in milliseconds UTC; 0 in a new store."""
        times = "SELECT max(last_seen_ms) AS ms FROM devices UNION ALL SELECT max(at_ms) FROM audit"
        return max(row["ms"] or 0 for row in self._fleet.rows(times))

    def close(self) -> None:
        """Close both files."""
        self._fleet.close()
        self._telemetry.close()
