"""Rollouts: what an operator asks for, the plan, and the progress by wave and by device."""

from itertools import pairwise
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.base import MAX_COUNT, YEAR_S, Request, Shape
from edgefleet_contract.energy import EnergyCostView
from edgefleet_contract.pairs import PairView
from edgefleet_contract.windows import RegionWindowView, WaitView
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
"""A rollout in one of these states continues only if an operator says so."""
WavePhase = Literal["pending", "staging", "activating", "soaking", "passed", "skipped", "failed", "inconclusive"]
Directive = Literal["none", "stage", "activate"]

MAX_WATCH_H = 7 * 24
"""How long a completed rollout may be watched, in hours."""

GateCheck = Literal[
    "accuracy",  # how right labelled answers are, against what ran before
    "errors",  # how many answers failed or were not finite
    "latency",  # how long answers take, against devices that still run the old variant
]
"""Everything that a gate looks at besides how devices installed the variant."""
GATE_CHECKS: tuple[GateCheck, ...] = get_args(GateCheck)


def _each_once(given: tuple[GateCheck, ...]) -> tuple[GateCheck, ...]:
    return tuple(check for check in GATE_CHECKS if check in given)


class Gate(Request):
    """When a wave passes and when it fails; only decided devices count.

    A wave fails if more than `failure_threshold` of at least `min_decided` decided devices failed, or if the
    sequential test rejects; it passes after `soak_s` seconds if at least `success_threshold` of the decided devices
    committed. If fewer than `min_decided` are decided at the deadline, it is inconclusive.

    It also fails on behaviour, tested per profile and one-sided at `significance`: labelled accuracy more than
    `max_accuracy_drop` (a share) below what ran on that profile before, with `min_labels` labels on each side; a share
    of errors and non-finite answers above `max_error_share`; or answers slower than `max_p95_ratio` times the p95 of
    devices of the profile that still run the old variant. The last two need `min_requests`.

    After completion, the evidence is looked at for `watch_h` hours more; what is then found raises an alert.

    Each check needs evidence from `min_devices` devices of the profile, if there are as many, and no device counts for
    much more than the others. What could not be judged is said; if it is one of the checks in `require`, the
    wave is inconclusive.

    Before any device is told anything, the answers to val of what devices have and of what they would get are
    compared: a version that surely disagrees by more than `max_disagreement` (a share), or whose labelled accuracy is
    surely lower by more than `max_accuracy_drop`, is refused.
    """

    success_threshold: Annotated[float, Field(gt=0, le=1)] = 0.9
    failure_threshold: Annotated[float, Field(ge=0, lt=1)] = 0.1
    min_decided: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1
    soak_s: Annotated[float, Field(ge=0, le=7 * 86400)] = 1800
    min_labels: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 50
    max_accuracy_drop: Annotated[float, Field(ge=0, lt=1)] = 0.02
    max_disagreement: Annotated[float, Field(ge=0, le=1)] = 0.1
    min_requests: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 50
    max_error_share: Annotated[float, Field(ge=0, lt=1)] = 0.01
    max_p95_ratio: Annotated[float, Field(ge=1, le=1000)] = 1.2
    significance: Annotated[float, Field(gt=0, le=0.1)] = 0.001
    min_devices: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 3
    watch_h: Annotated[float, Field(ge=0, le=MAX_WATCH_H)] = 24
    require: Annotated[tuple[GateCheck, ...], AfterValidator(_each_once)] = ()


class Timers(Request):
    """How long each state may last, in seconds."""

    unreachable_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 86_400
    silent_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 600
    space_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 3600
    staging_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 6 * 3600
    wave_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 24 * 3600
    trial_s: Annotated[float, Field(ge=0, le=86400)] = 30
    return_s: Annotated[float, Field(gt=0, le=YEAR_S)] = 86_400


class RolloutSpec(Request):
    """What an operator asks for; exactly one of `selector`, `segment` and `everyone` names the devices.

    `waves` are the shares of the devices reached after each wave; they rise, and end with 1. The devices of a wave
    switch once `start_share` of those under way have staged; the others follow as they stage.

    `accept_drop` lets a version through that answers worse on val, or otherwise, than the gate allows;
    `accept_signature` one that takes or gives something else than applications know.
    """

    model: Name
    version: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    selector: Annotated[str, Field(json_schema_extra={"format": "selector"})] = ""
    segment: Name | None = None
    everyone: bool = False
    waves: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(max_length=100)] = (0.01, 0.1, 0.5, 1.0)
    gate: Gate = Gate()
    timers: Timers = Timers()
    start_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    concurrency: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 10
    on_failure: Literal["pause", "roll_back"] = "roll_back"
    accept_drop: bool = False
    accept_signature: bool = False


def fault_of(asked: RolloutSpec) -> str | None:
    """What is wrong with a request for a rollout, in words; None if nothing is.

    Specs that older controllers have stored may be at fault here, and are obeyed as they were then.
    """
    if "selector" in asked.model_fields_set and not asked.selector.strip() and not asked.everyone:
        return "the selector is blank: name the devices, for example region=eu, or ask for everyone"
    if (asked.selector.strip() != "") + (asked.segment is not None) + asked.everyone != 1:
        return "say which devices: give exactly one of selector, segment and everyone"
    if asked.waves[-1:] != (1.0,):
        return "waves: the last one must reach every device: end with 1, that is 100%"
    if wrong := next((pair for pair in pairwise(asked.waves) if pair[1] <= pair[0]), None):
        before, share = (f"{100 * each:g}%" for each in wrong)
        return f"waves: {share} comes after {before}: each wave must reach more devices than the one before"
    return None


class Judgement(Shape):
    """What a gate made of one check on one profile: in words, or why there is nothing to judge by.

    It is inconclusive if what speaks against the variant cannot be relied on.

    `outliers` are devices whose evidence was left out because it differs from the others'.
    """

    check: GateCheck
    profile: str
    outcome: Literal["passed", "failed", "inconclusive", "not_judged"]
    words: str
    outliers: tuple[str, ...] = ()


class WaveRecord(Shape):
    """A wave of a rollout; `judgements` are its gate's, and `evidence` is what was judged, in words."""

    number: int
    state: WavePhase = "pending"
    since_ms: int
    started_ms: int | None = None
    reason: str | None = None
    evidence: tuple[str, ...] = ()
    judgements: tuple[Judgement, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the rollout goes on to the next wave: it passed, or none of its devices had anything to install."""
        return self.state in ("passed", "skipped")


ARRIVED: tuple[Phase, ...] = ("committed", "already_installed", "removed")
"""Phases of a way back that has led where it should; `removed` if that is no variant at all."""
BACK: tuple[Phase, ...] = (*ARRIVED, "superseded")
"""Phases of a way back that has ended."""
LEFT: tuple[Phase, ...] = ("removed", "superseded")
"""Phases of devices that have left their rollout: it never tells them anything again."""


class ExecutionRecord(Shape):
    """One device in one rollout.

    `transfer_bytes` of `transfer_total_bytes` had arrived after `transfer_s` when the device reported last.
    `keeps_windows` says whether its agent keeps its region's windows by itself, as those of 0.1.0 don't. `removed_ms`
    is when the device was removed from the fleet: what it had come to until then still counts. `simulated` is told of
    removed devices alone, whether they stood in for their hardware: the others say it themselves.

    `previous_*` is what answered before the device was told anything; the `back_*` fields are the rollback to it, a
    kind of execution with a generation of its own. `back_variant` is where the way back leads; null means that nothing
    will answer. It is `previous_variant`, unless that has been rejected: `back_why` says so.
    """

    rollout: str
    device: Name
    wave: int
    profile: str
    variant: str | None
    manifest: str | None
    manifest_bytes: int
    keeps_windows: bool = False
    generation: int | None = None
    directive: Directive = "none"
    phase: Phase = "assigned"
    reason: str | None = None
    detail: str | None = None
    transfer_s: float | None = None
    transfer_bytes: int | None = None
    transfer_total_bytes: int | None = None
    directed_ms: int | None = None
    heard_ms: int | None = None
    changed_ms: int
    removed_ms: int | None = None
    simulated: bool = False
    previous_variant: str | None = None
    previous_manifest: str | None = None
    previous_manifest_bytes: int = 0
    back_generation: int | None = None
    back_phase: Phase | None = None
    back_reason: str | None = None
    back_variant: str | None = None
    back_manifest: str | None = None
    back_manifest_bytes: int = 0
    back_why: str | None = None

    @property
    def exposed(self) -> bool:
        """Whether the device was told to switch, so that its applications may have seen the new variant."""
        return self.directive == "activate"

    @property
    def leads_elsewhere(self) -> bool:
        """Whether the way back does not lead to what ran before."""
        return self.back_manifest != self.previous_manifest

    @property
    def has_left(self) -> bool:
        """Whether the rollout never tells the device anything again, as it was removed or another rollout has it."""
        return self.removed_ms is not None or self.phase in LEFT

    @property
    def is_back(self) -> bool:
        """Whether the rollback has ended: the old variant runs again, or the device has moved on."""
        return self.back_phase in BACK


class ReturnView(Shape):
    """Devices that a rollback returns to one variant, or to none, and how many of them are `back`.

    `why` is given if that is not what ran before.
    """

    variant: str | None
    why: str | None
    devices: int
    back: int


class FetchingView(Shape):
    """What the `devices` of a wave that are fetching have got, as they reported last.

    `left_s` is how long the slowest of them takes yet, at the rates that were found; null if one is not known.
    """

    devices: int
    bytes_done: int
    bytes_total: int
    left_s: float | None = None


class WaveView(WaveRecord):
    """A wave with its devices counted by phase; while devices stage or switch, `reason` says how many do.

    `waits_for` says what it waits for before devices switch, `waits` which of them wait until their window opens, and
    `fetching` how far downloads are.
    """

    counts: dict[str, int]
    waits_for: str | None = None
    fetching: FetchingView | None = None
    waits: tuple[WaitView, ...] = ()


class RolloutView(Shape):
    """A rollout with its waves; `counts` are its devices by phase, `counts_back` those that roll back.

    `returns` says which variants those return to, and `windows` when the devices of a region may fetch and switch;
    those of other regions may at any time. A completed rollout is watched until `watched_until_ms`, and for as long as
    one of its `alerts` is open.
    """

    id: str
    model: str
    segment: str | None
    selector: str
    state: str
    reason: str | None
    waves: list[WaveView]
    counts: dict[str, int]
    counts_back: dict[str, int]
    returns: list[ReturnView] = Field(default_factory=list)
    windows: tuple[RegionWindowView, ...] = ()
    alerts: tuple[AlertRecord, ...] = ()
    watched_until_ms: int | None = None
    spec: RolloutSpec
    created_ms: int
    changed_ms: int

    @property
    def rests(self) -> bool:
        """Whether nothing more happens unless an operator says so."""
        return self.state in RESTING


class RejectedView(Shape):
    """A variant that a plan gives to a profile although it was last rejected there, by a gate or an operator."""

    profile: str
    variant: str
    rollout: str
    at_ms: int


class SlowLinkView(Shape):
    """A device whose link was found slower than the catalogue says, and how long its download takes there.

    `transfer_s` is for what it has to fetch, in seconds.
    """

    device: str
    link: str
    measured_kbps: float
    catalogue_kbps: float
    transfer_s: float


class PlannedExecutionView(ExecutionRecord):
    """What a plan gives to a device; `fetches_bytes` is how much it downloads at most, null if it gets no variant.

    It is 0 for a device that has the variant on its disk already. `holds_model` says that it has the model's file, in
    the slot of another variant or of another model, and so downloads the manifest and what else it has not.
    """

    fetches_bytes: int | None = None
    holds_model: bool = False


class UnknownRoomView(Shape):
    """Why it cannot be told whether a variant fits into the memory of some devices, and how many they are."""

    why: str
    devices: int


class PlanView(Shape):
    """Exactly what starting a rollout would do; regions without `windows` may fetch and switch at any time.

    If no device has anything to install, `ends_at_once` says as what it would end, and why. `rejected` are variants
    that were rejected on profiles that would get them, or have them.
    `slow_links` are devices that have something to install over links that were found slower than the catalogue says.
    `energy_costs` are what inferences cost and emit on each profile with the variant that it gets.
    `pairs` are what devices have and what they would get, compared by their answers to val; `first_installs` are
    devices that have nothing yet to compare with. A device whose models would not fit into its memory together is
    deferred, with the figures; `room_unknown` says of which devices that cannot be told.
    """

    model: str
    selector: str
    windows: tuple[RegionWindowView, ...] = ()
    ends_at_once: str | None = None
    waves: list[list[PlannedExecutionView]]
    energy_costs: tuple[EnergyCostView, ...] = ()
    rejected: tuple[RejectedView, ...] = ()
    slow_links: tuple[SlowLinkView, ...] = ()
    pairs: tuple[PairView, ...] = ()
    first_installs: int = 0
    room_unknown: tuple[UnknownRoomView, ...] = ()
