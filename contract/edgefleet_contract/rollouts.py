"""Rollouts: what an operator asks for, what starting it would do, and how it goes, wave by wave, device by device."""

from typing import Annotated, Literal

from pydantic import Field

from edgefleet_contract.base import MAX_COUNT, YEAR_S, Request, Shape
from edgefleet_profiles.names import Name
from edgefleet_protocol.phases import Phase

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
RESTING: frozenset[RolloutPhase] = frozenset({"paused", "completed", "cancelled", "rolled_back", "rollback_incomplete"})
"""A rollout in one of these goes on only where somebody orders it."""
WavePhase = Literal["pending", "staging", "activating", "soaking", "passed", "failed", "inconclusive"]
Directive = Literal["none", "stage", "activate"]


class Gate(Request):
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


class Timers(Request):
    """Every state ends: seconds until it does."""

    unreachable_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 86_400
    silent_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 600
    space_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 3600
    staging_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 6 * 3600
    wave_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 24 * 3600
    trial_s: Annotated[float, Field(ge=0, le=86400)] = 30
    return_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 86_400


class RolloutSpec(Request):
    """What an operator asks for; `waves` are the shares of the fleet reached after each wave, the last one is 1."""

    model: Name
    version: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    selector: Annotated[str, Field(json_schema_extra={"format": "selector"})] = ""
    segment: Name | None = None
    waves: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(max_length=100)] = (0.01, 0.1, 0.5, 1.0)
    gate: Gate = Gate()
    timers: Timers = Timers()
    concurrency: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 10
    on_failure: Literal["pause", "roll_back"] = "roll_back"


class WaveRecord(Shape):
    """A wave of a rollout."""

    number: int
    state: WavePhase = "pending"
    since_ms: int
    started_ms: int | None = None
    reason: str | None = None
    evidence: tuple[str, ...] = ()


BACK: tuple[Phase, ...] = ("committed", "already_installed", "removed", "superseded")


class ExecutionRecord(Shape):
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


class WaveView(WaveRecord):
    """A wave with its devices counted by phase."""

    counts: dict[str, int]


class RolloutView(Shape):
    """A rollout with its waves; `counts` are its devices by phase, `counts_back` those that go back, likewise."""

    id: str
    model: str
    segment: str | None
    selector: str
    state: str
    reason: str | None
    waves: list[WaveView]
    counts: dict[str, int]
    counts_back: dict[str, int]
    spec: RolloutSpec
    created_ms: int
    changed_ms: int

    @property
    def rests(self) -> bool:
        """Whether nothing more happens unless somebody orders it."""
        return self.state in RESTING


class PlanView(Shape):
    """Exactly what starting the rollout would do."""

    model: str
    selector: str
    waves: list[list[ExecutionRecord]]
