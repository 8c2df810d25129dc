"""The fleet's store: what was registered, who is there, and what was decided."""

from contextlib import AbstractContextManager
from typing import Protocol

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


class FleetStore(Protocol):
    """What must survive a power cut: a decision of which a device was told is never forgotten.

    Every method of every noun MUST, alone, be a transaction: what it changes is kept as a whole or not at all, and is
    on the disk when it returns. It MUST take its turn with transactions of other threads, in the order of asking, and
    see what was committed before it.

    Raises:
        StoreUnavailable: in any method, and nothing of what it was to change is kept: the disk is full, the folder
            cannot be written, or another program holds the store. It may be asked again.
        StoreFault: a damaged file or a fault of ours.
    """

    registry: ModelRegistry
    operations: OperationRecords
    devices: DeviceRecords
    members: Members
    segments: SegmentRecords
    desired: DesiredStates
    conflicts: Conflicts
    rollouts: RolloutRecords
    references: References
    audit: Audit
    follow_ups: FollowUps

    def transaction(self) -> AbstractContextManager[None]:
        """All that is changed within, or nothing of it.

        Other threads MUST wait for its end; who asked first comes first. It nests: when a nested one raises, what was
        changed within it is undone, and who catches the error may go on. What was undone MUST have left no trace in
        `rollouts.live` but what was read within, nor in `members.revision`.
        """

    def newest_ms(self) -> int:
        """The latest time that a device was heard or that stands in the audit, in milliseconds UTC; 0 without any."""

    def close(self) -> None:
        """Let go of the store; nothing may be asked of it after that."""
