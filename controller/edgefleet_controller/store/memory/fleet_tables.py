"""The tables of the fleet's store in memory."""

from typing import NamedTuple

from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.records import (
    Annotation,
    AnswersRecord,
    ChoiceRecord,
    DesiredRecord,
    ModelRecord,
    RolloutRecord,
    VariantRecord,
    VerdictRecord,
)
from edgefleet_controller.store.contract.audit import AuditEntry
from edgefleet_controller.store.contract.follow_ups import FollowUp
from edgefleet_controller.store.memory.tables import Changes, Counter, Table
from edgefleet_protocol.messages import ReportedState


class Blob(NamedTuple):
    """A blob's size, and whether devices may ask for it."""

    size_bytes: int
    deliverable: bool


class Report(NamedTuple):
    """A device as it last reported itself."""

    reported: ReportedState
    online: bool
    last_seen_ms: int
    first_seen_ms: int
    labels_json: str

    @property
    def place(self) -> tuple[str, str, str]:
        """Region, hardware and link."""
        facts = self.reported.facts
        return facts.region, facts.hardware, facts.link


class FleetTables:
    """The tables that the nouns of a fleet's store share."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.blobs: Table[str, Blob] = Table(changes)
        self.models: Table[tuple[str, int], ModelRecord] = Table(changes)
        self.variants: Table[tuple[str, int, str], tuple[int, VariantRecord]] = Table(changes)
        self.answers: Table[tuple[str, int, str, str], AnswersRecord] = Table(changes)
        self.choices: Table[tuple[str, int, str], ChoiceRecord] = Table(changes)
        self.operations: Table[str, OperationRecord] = Table(changes)
        self.devices: Table[str, Report] = Table(changes)
        self.admissions: Table[str, AdmissionRecord] = Table(changes)
        self.annotations: Table[str, Annotation] = Table(changes)
        self.segments: Table[str, SegmentRecord] = Table(changes)
        self.desired: Table[tuple[str, str], DesiredRecord] = Table(changes, device=lambda key: key[0])
        self.incarnations: Table[tuple[str, str], int] = Table(changes, device=lambda key: key[0])
        self.conflicts: Table[str, int] = Table(changes)
        self.rollouts: Table[str, RolloutRecord] = Table(changes)
        self.executions: Table[tuple[str, str], ExecutionRecord] = Table(
            changes, rollout=lambda key: key[0], device=lambda key: key[1]
        )
        self.verdicts: Table[tuple[str, str, str], VerdictRecord] = Table(changes)
        self.alerts: Table[str, AlertRecord] = Table(changes)
        self.audit: Table[tuple[str, int], AuditEntry] = Table(changes, subject=lambda key: key[0])
        self.follow_ups: Table[int, FollowUp] = Table(changes)
        self.touched: Table[tuple[str, str], bool] = Table(changes, rollout=lambda key: key[0])
        self.moved: Table[str, int] = Table(changes)
        self.moves, self.puts = Counter(changes), Counter(changes)
        self.entries, self.decisions = Counter(changes), Counter(changes)

    def put_execution(self, execution: ExecutionRecord) -> None:
        """Store an execution, and note that it was touched."""
        key = (execution.rollout, execution.device)
        self.executions.put(key, execution)
        self.touched.put(key, True)

    def executions_of(self, device: str) -> list[ExecutionRecord]:
        """The executions of a device, the oldest rollout's first."""
        found = (self.executions.get(key) for key in sorted(self.executions.where("device", device)))
        return [execution for execution in found if execution]

    def move(self, device: str) -> None:
        """Note that a selector may now match a device."""
        self.moved.put(device, self.moves.next())
