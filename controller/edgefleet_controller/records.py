"""What the store keeps: our own types, never rows."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgefleet_compression.builds.lineage import Lineage
from edgefleet_compression.builds.progress import BuildProgress
from edgefleet_compression.builds.step_reports import StepReport
from edgefleet_compression.measuring.metrics import Metrics
from edgefleet_profiles.names import Name
from edgefleet_protocol.counters import Counters
from edgefleet_protocol.messages import Facts, ReportedState
from edgefleet_protocol.phases import Phase

MAX_COUNT = 999_999_999
"""Of anything that an operator may ask for: what sums and clocks can take, and far beyond any fleet."""
YEAR_S = 366 * 86_400


class Record(BaseModel):
    """Base of the records; they are values."""

    model_config = ConfigDict(frozen=True)


class ModelRecord(Record):
    """A model version: the digests of its source files and its card."""

    name: Name
    version: int
    files: dict[str, str]
    card: dict[str, Any]
    created_ms: int

    @property
    def ref(self) -> str:
        """`fashion@1`."""
        return f"{self.name}@{self.version}"


class VariantRecord(Record):
    """Model x recipe, built and published; `lineage` is None where it was built before lineages were kept."""

    id: str
    model: Name
    version: int
    recipe: str
    title: str
    instruction_sets: tuple[str, ...]
    manifest: str
    manifest_bytes: int
    delivery_bytes: dict[int, int]
    metrics: Metrics
    runtime: dict[str, str]
    steps: tuple[StepReport, ...]
    lineage: Lineage | None = None
    created_ms: int

    def runs_on(self, instruction_set: str) -> bool:
        """Whether this variant is made for processors of this class."""
        return not self.instruction_sets or instruction_set in self.instruction_sets


class ChoiceRecord(Record):
    """The variant chosen for one profile, and the reason for and against each."""

    model: Name
    version: int
    profile: str
    variant: str | None
    reasons: dict[str, str]


class DesiredRecord(Record):
    """What one device should run of one model."""

    device: Name
    model: Name
    generation: int
    manifest: str | None
    manifest_bytes: int
    rollout: str | None
    activate: bool
    trial_s: float


DeviceStatus = Literal["pending", "accepted"]


class AdmissionRecord(Record):
    """A device that belongs to the fleet; with the profile that it was added for, if it was."""

    device: Name
    profile: str | None = None
    accepted_ms: int


class HeardRecord(Record):
    """An incarnation of a device, and when it was heard last."""

    incarnation: str
    last_seen_ms: int


class ConflictRecord(Record):
    """Two or more incarnations that report under one device id in turn, the last one heard first."""

    since_ms: int
    incarnations: tuple[HeardRecord, ...]


class DeviceRecord(Record):
    """A device as it last reported itself; `added_as` is the profile that an operator added it for."""

    id: Name
    status: DeviceStatus
    added_as: str | None = None
    incarnation: str
    online: bool
    last_seen_ms: int
    first_seen_ms: int
    reported: ReportedState

    @property
    def facts(self) -> Facts:
        """What the device is."""
        return self.reported.facts

    @property
    def profile(self) -> str:
        """`eu/rpi4/lte`."""
        return f"{self.facts.region}/{self.facts.hardware}/{self.facts.link}"


class Gate(Record):
    """When a wave passes and when it fails, over decided devices, never over all.

    A wave fails when more than `failure_threshold` of at least `min_decided` decided devices failed, or when the
    sequential test rejects; it passes after `soak_s` seconds when at least `success_threshold` of the decided
    committed. With fewer than `min_decided` decided at the deadline it is inconclusive.

    It also fails on behaviour, profile by profile, where a one-sided test at `significance` shows it: labelled
    accuracy more than `max_accuracy_drop` (a share) below what ran on that profile before, from `min_labels` labels
    on each side; errors and answers that are not finite above `max_error_share`; answers slower than
    `max_p95_ratio` times the p95 of devices of the profile that still run the old variant. These two need
    `min_requests`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    success_threshold: Annotated[float, Field(gt=0, le=1)] = 0.9
    failure_threshold: Annotated[float, Field(ge=0, lt=1)] = 0.1
    min_decided: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1
    soak_s: Annotated[float, Field(ge=0, le=7 * 86400)] = 1800
    min_labels: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 50
    max_accuracy_drop: Annotated[float, Field(ge=0, lt=1)] = 0.02
    min_requests: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 50
    max_error_share: Annotated[float, Field(ge=0, lt=1)] = 0.01
    max_p95_ratio: Annotated[float, Field(ge=1, le=1000)] = 1.2
    significance: Annotated[float, Field(gt=0, le=0.1)] = 0.001


class Timers(Record):
    """Every state ends: seconds until it does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unreachable_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 86_400
    silent_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 600
    space_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 3600
    staging_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 6 * 3600
    wave_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 24 * 3600
    trial_s: Annotated[float, Field(ge=0, le=86400)] = 30
    return_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 86_400


class RolloutSpec(Record):
    """What an operator asks for; `waves` are the shares of the fleet reached after each wave, the last one is 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Name
    version: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    selector: Annotated[str, Field(json_schema_extra={"format": "selector"})] = ""
    segment: Name | None = None
    waves: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(max_length=100)] = (0.01, 0.1, 0.5, 1.0)
    gate: Gate = Gate()
    timers: Timers = Timers()
    concurrency: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 10
    on_failure: Literal["pause", "roll_back"] = "roll_back"


RolloutPhase = Literal[
    "draft",
    "building",
    "scheduled",
    "running",
    "paused",
    "completed",
    "cancelled",
    "rolling_back",
    "rolled_back",
    "rollback_incomplete",
]
WavePhase = Literal["pending", "staging", "activating", "soaking", "passed", "failed", "inconclusive"]
Directive = Literal["none", "stage", "activate"]


class WaveRecord(Record):
    """A wave of a rollout."""

    number: int
    state: WavePhase = "pending"
    since_ms: int
    started_ms: int | None = None
    reason: str | None = None
    evidence: tuple[str, ...] = ()


BACK: tuple[Phase, ...] = ("committed", "already_installed", "removed", "superseded")


class ExecutionRecord(Record):
    """One device in one rollout.

    `previous_*` is what answered before the device was told anything; the `back_*` fields are the way back to it, an
    execution of its own kind with a generation of its own.
    """

    rollout: str
    device: Name
    wave: int
    profile: str
    variant: str | None
    manifest: str | None
    manifest_bytes: int
    generation: int | None = None
    directive: Directive = "none"
    phase: Phase = "assigned"
    reason: str | None = None
    detail: str | None = None
    transfer_s: float | None = None
    transfer_bytes: int | None = None
    directed_ms: int | None = None
    heard_ms: int | None = None
    changed_ms: int
    previous_variant: str | None = None
    previous_manifest: str | None = None
    previous_manifest_bytes: int = 0
    back_generation: int | None = None
    back_phase: Phase | None = None
    back_reason: str | None = None

    @property
    def exposed(self) -> bool:
        """Whether the device was told to switch, so that its applications may have met the new variant."""
        return self.directive == "activate"

    @property
    def is_back(self) -> bool:
        """Whether the way back has ended: with what ran before, or because the device has moved on or left."""
        return self.back_phase in BACK


class RolloutRecord(Record):
    """A rollout as it stands, without its executions."""

    id: str
    spec: RolloutSpec
    state: RolloutPhase
    reason: str | None = None
    waves: tuple[WaveRecord, ...]
    created_ms: int
    changed_ms: int


class OperationRecord(Record):
    """Long work that was accepted: how far it is, and how it ended."""

    id: str
    kind: str
    target: str
    state: Literal["running", "succeeded", "failed"] = "running"
    progress: list[BuildProgress] = Field(default_factory=list)
    result: dict[str, Any] | None = None
    error: str | None = None
    created_ms: int
    changed_ms: int


class SegmentRecord(Record):
    """A named selector over devices."""

    name: Name
    selector: str


@dataclass(frozen=True)
class Evidence:
    """What is known of one profile.

    `new` is the rollout's variant since the rollout began; `before` is what these devices ran until then, as far back
    as telemetry is kept; `control` is the same since the rollout began: devices that have not switched yet.
    """

    profile: str
    new: Counters
    before: Counters
    control: Counters
