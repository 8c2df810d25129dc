"""The fleet's store: the registry, devices and decisions."""

from contextlib import AbstractContextManager
from typing import Protocol

from edgefleet_controller.store.contract.alerts import AlertRecords
from edgefleet_controller.store.contract.annotations import Annotations
from edgefleet_controller.store.contract.audit import Audit
from edgefleet_controller.store.contract.conflicts import Conflicts
from edgefleet_controller.store.contract.desired import DesiredStates
from edgefleet_controller.store.contract.devices import DeviceRecords
from edgefleet_controller.store.contract.follow_ups import FollowUps
from edgefleet_controller.store.contract.members import Members
from edgefleet_controller.store.contract.operations import OperationRecords
from edgefleet_controller.store.contract.references import References
from edgefleet_controller.store.contract.registry import ModelRegistry
from edgefleet_controller.store.contract.rollouts import RolloutRecords
from edgefleet_controller.store.contract.segments import SegmentRecords
from edgefleet_controller.store.contract.verdicts import VerdictRecords


class FleetStore(Protocol):
    """Everything that must survive a power cut: a decision that a device was told of is never lost.

    Every method of every noun MUST be a transaction of its own: its changes are kept completely or not at all, and are
    on disk when it returns. It MUST wait for transactions of other threads, in the order they asked, and see what was
    committed before it.

    Raises:
        StoreUnavailable: in any method, and nothing is changed: the disk is full, the folder cannot be written, or
            another program holds the store. It is safe to retry.
        StoreFault: a damaged file or a bug.
    """

    registry: ModelRegistry
    operations: OperationRecords
    devices: DeviceRecords
    annotations: Annotations
    members: Members
    segments: SegmentRecords
    desired: DesiredStates
    conflicts: Conflicts
    rollouts: RolloutRecords
    verdicts: VerdictRecords
    alerts: AlertRecords
    references: References
    audit: Audit
    follow_ups: FollowUps

    def transaction(self) -> AbstractContextManager[None]:
        """All changes made inside, or none of them.

        Other threads MUST wait for its end, in the order they asked. Transactions nest: if a nested one raises, its
        changes are undone, and code that catches the error may continue. Undone changes MUST leave no trace in
        `rollouts.live`, except what was read inside, nor in `members.revision`.
        """

    def newest_ms(self) -> int:
        """The latest time at which a device was heard or an audit line written, in milliseconds UTC; 0 if none."""

    def close(self) -> None:
        """Close the store; it must not be used after that."""
