"""Control messages: validated JSON; receivers ignore unknown fields."""

import re
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from edgefleet_profiles.names import Name
from edgefleet_protocol.counters import FlatCounters
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.fields import Count, Digest, Id, Millis, Text, Word
from edgefleet_protocol.leaving import ALWAYS
from edgefleet_protocol.paces import FASTEST_KBPS, is_pace
from edgefleet_protocol.part import Part as Part
from edgefleet_protocol.phases import PHASES, Phase
from edgefleet_protocol.ran_on import ProviderState, RanOn

SCHEMA_VERSION = 1
MAX_MESSAGE_BYTES = 256 * 1024

MAX_GENERATION = 2**53
"""The limit for both sides; a device that claims to have reached it takes no further orders, and harms nobody else."""
Generation = Annotated[int, Field(ge=0, le=MAX_GENERATION)]
_PHASE = re.compile(r"[a-z][a-z_]{0,39}")

# Every list in a message is bounded: an entry costs its receiver more than its sender.
MAX_MODELS = MAX_SLOTS = MAX_LABELS = 64
Words = Annotated[frozenset[Word], Field(max_length=256, fail_fast=True)]
MAX_FEATURES = 64
MAX_INTERVALS = 64
MAX_CREDIT_BYTES = 2**26
Features = Annotated[frozenset[Word], Field(max_length=MAX_FEATURES, fail_fast=True)]
"""Names of features, see `features.py`."""


class Message(BaseModel):
    """Base of all messages; unknown fields come from newer versions and are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    schema_version: Annotated[int, Field(ge=1, lt=2**31), ALWAYS] = SCHEMA_VERSION


def tuples(value: Any) -> Any:
    """JSON's arrays as tuples, at any depth, for validators: what passes one is no longer read as JSON."""
    if isinstance(value, dict):
        return {name: tuples(inner) for name, inner in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value


class DesiredModel(Part):
    """What a device should run of one model.

    `manifest` is the digest of the manifest's blob and `manifest_bytes` its size; None means that this model
    should not be served. A higher `generation` always supersedes. If `activate` is false, the variant is
    only fetched and staged; `trial_s` is how long it must answer live before it is committed. If `at_once` is true, as
    for a rollback, the device waits for no window. `keep` is the manifest of the variant that a rollback would return
    to, if that is not the one that answers now: its slot stays, and what answers now never answers again once it is
    replaced. It is `manifest` itself if a rollback would return to none.
    """

    generation: Annotated[int, Field(ge=1, le=MAX_GENERATION)]
    manifest: Digest | None = None
    manifest_bytes: Count = 0
    rollout: Id | None = None
    activate: bool = True
    trial_s: Annotated[float, Field(ge=0, le=86400)] = 30.0
    at_once: bool = False
    keep: Digest | None = None


class OpenInterval(Part):
    """From one instant until another, which is no part of it."""

    from_ms: Millis
    to_ms: Millis


class Opening(Part):
    """When a device may do something: the next `intervals`, in order.

    `open_s` says for how many seconds from now on it may, by the controller's clock; 0 while it may not. It is for
    devices that don't trust their own clock, and counts only if the message is not an old one that the broker retained.
    """

    intervals: Annotated[tuple[OpenInterval, ...], Field(max_length=MAX_INTERVALS, fail_fast=True)] = ()
    open_s: Annotated[float, Field(ge=0, le=1e7)] = 0.0


class DesiredState(Message):
    """Retained, controller to device: everything that the device should run.

    `fetch` and `switch` say when it may fetch variants and switch to them; None means at any time. `features` names
    what the controller can do beyond 0.2.0.
    """

    features: Features = frozenset()
    fetch: Opening | None = None
    switch: Opening | None = None
    models: dict[Name, DesiredModel] = Field(default_factory=dict, max_length=MAX_MODELS)


class Acked(Message):
    """Telemetry of `incarnation` is stored up to and including `through`: the spool may drop it.

    `boot` and `report` name the newest snapshot of this incarnation that the controller has. They are sent to an agent
    that reports an older one: its state was copied or restored, and another copy has moved on since.
    """

    incarnation: Id
    through: Count
    boot: Count | None = None
    report: Count | None = None


class Hello(Message):
    """The controller has just subscribed: report within `jitter_s`. `features` is as in DesiredState."""

    features: Features = frozenset()
    jitter_s: Annotated[float, Field(ge=0, le=600)] = 2.0


class Presence(Message):
    """Online, or the last will."""

    online: bool
    incarnation: Id
    boot: Count


class MemoryBudget(Part):
    """What all models of a device may take of its memory together, in MB, see `memory_budget`.

    `agent_mb` of it is for the supervisor, and each worker takes `worker_mb` beside what its model took at its build.
    """

    budget_mb: Count
    agent_mb: Count
    worker_mb: Count


class Facts(Part):
    """What a device is; if `simulated`, what the catalogue says of the hardware that the machine stands in for.

    `providers` are those that models run on there, of the ones that the catalogue asks for; agents up to 0.2 report the
    catalogue's. `lacks_providers` are those that the catalogue asks for and that do not work there. `probed` are all
    that its runtime has or the catalogue asks for; agents up to 0.2 probe none. `memory` is None from them.
    """

    hardware: Name
    region: Name
    link: Name
    arch: Word
    isa: Words = frozenset()
    cores: Count
    ram_mb: Count
    storage_mb: Count = 0
    providers: tuple[Word, ...] = Field(default=(), max_length=64, fail_fast=True)
    onnxruntime: Word = ""
    simulated: bool = False
    lacks_providers: tuple[Word, ...] = Field(default=(), max_length=64, fail_fast=True)
    memory: MemoryBudget | None = None
    probed: tuple[ProviderState, ...] = Field(default=(), max_length=64, fail_fast=True)


class HostFacts(Part):
    """The machine that really runs a simulated device."""

    cpu: Word
    arch: Word
    isa: Words = frozenset()
    cores: Count
    ram_mb: Count


class Slot(Part):
    """A variant on the device's disk; `ran_on` is what it was tested on, None before that and from older agents."""

    variant: Digest
    manifest: Digest
    model_version: Count
    generation: Generation
    ran_on: RanOn | None = None


class Transfer(Part):
    """How the bytes of an attempt arrived; `bytes_total` is all that the device had to download.

    `wrong_chunks` counts chunks whose hash did not match: damaged on the way, or sent by somebody else.
    """

    bytes_total: Count = 0
    bytes_done: Count = 0
    seconds: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    wants: Count = 0
    wrong_chunks: Count = 0


class ModelFailure(Part):
    """What a model's runtime met: the class of its error and, where known, which operator and node of the graph.

    The runtime's own text stays on the device: it may carry values of an input.
    """

    error: Word
    operator: Word | None = None
    node: Word | None = None


class Attempt(Part):
    """The last attempt at a generation, and how far it is or how it ended."""

    generation: Generation
    rollout: Id | None = None
    manifest: Digest | None = None
    variant: Digest | None = None
    phase: Phase
    reason: Word | None = None
    detail: Text | None = None
    failure: ModelFailure | None = None
    tries: Count = 1
    transfer: Transfer = Transfer()


class Lost(Part):
    """A variant that was answering when its slot was found damaged."""

    variant: Digest
    reason: Word
    detail: Text


class ReportedModel(Part):
    """One model on one device: what answers, what was committed, what is on disk, and the last attempt.

    An attempt in a phase that only newer agents know is ignored, like an unknown field. `lost` is the variant that was
    answering when its slot was found damaged, until another one is committed.
    """

    generation: Generation = 0
    answering: Slot | None = None
    committed: Slot | None = None
    slots: tuple[Slot, ...] = Field(default=(), max_length=MAX_SLOTS, fail_fast=True)
    attempt: Attempt | None = None
    lost: Lost | None = None
    _newer_phase: str | None = PrivateAttr(None)

    @property
    def newer_phase(self) -> str | None:
        """The unknown phase of an attempt that was ignored on decoding."""
        return self._newer_phase

    @model_validator(mode="wrap")
    @classmethod
    def _passes_over_newer_phases(cls, fields: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        fields = tuples(fields)
        attempt = fields.get("attempt") if isinstance(fields, dict) else None
        phase = attempt.get("phase") if isinstance(attempt, dict) else None
        if not isinstance(phase, str) or phase in PHASES or not _PHASE.fullmatch(phase):
            return validate(fields)
        model = validate({**fields, "attempt": None})
        model._newer_phase = phase
        return model


class ReportedState(Message):
    """A complete snapshot of a device; (boot, report) orders the snapshots of one incarnation.

    `features` names what its agent can do beyond 0.1.0. `measured_kbps` is the rate of its link, if it has found it
    slower than the catalogue says.
    """

    incarnation: Id
    boot: Count
    report: Count
    agent_version: Word
    features: Features = frozenset()
    sent_ms: Millis | None = None
    clock_trusted: bool = False
    facts: Facts
    host_facts: HostFacts | None = None
    labels: dict[Name, Name] = Field(default_factory=dict, max_length=MAX_LABELS)
    endpoint: Word | None = None
    models: dict[Name, ReportedModel] = Field(default_factory=dict, max_length=MAX_MODELS)
    set_aside: Count = 0
    spooled_windows: Count = 0
    dropped_windows: Count = 0
    disk_trouble: Text | None = None
    measured_kbps: Annotated[float, Field(gt=0, le=1e9)] | None = None


class TelemetryWindow(FlatCounters, Message):
    """What one variant did on one device in about a minute.

    Windows are ordered by `seq`; `first_kept_seq` is the oldest that the device still has.
    """

    incarnation: Annotated[Id, ALWAYS]
    seq: Annotated[int, Field(ge=1, lt=2**62), ALWAYS]
    first_kept_seq: Annotated[int, Field(ge=1, lt=2**62), ALWAYS]
    model: Annotated[Name, ALWAYS]
    model_version: Annotated[Count, ALWAYS]
    variant: Annotated[Digest, ALWAYS]
    generation: Annotated[Count, ALWAYS]
    duration_ms: Annotated[Count, ALWAYS]
    started_ms: Annotated[Millis | None, ALWAYS] = None
    clock_trusted: Annotated[bool, ALWAYS] = False

    @model_validator(mode="after")
    def _is_kept(self) -> Self:
        if self.first_kept_seq > self.seq:
            raise ValueError(f"first_kept_seq ({self.first_kept_seq}) exceeds seq ({self.seq})")
        return self


class Credit(Part):
    """How much of a blob may be under way to a device at once, and how far it has got.

    Attributes:
        pace: at which pace it listens, in kbit/s (see `paces`).
        bytes_under_way: how many bytes of chunks may be on their way to it.
        turn: rises whenever nothing is under way any more, as at every subscription: what was sent before has arrived
            or is lost.
        last: the last chunk that it has heard on its lane in this turn; None: none yet.
    """

    pace: Annotated[int, Field(ge=0, le=FASTEST_KBPS)]
    bytes_under_way: Annotated[int, Field(ge=1, le=MAX_CREDIT_BYTES)]
    turn: Count
    last: Count | None = None

    @field_validator("pace")
    @classmethod
    def _is_pace(cls, pace: int) -> int:
        if not is_pace(pace):
            raise ValueError(f"{pace} kbit/s is none of the paces: 0, or 16 times a power of two")
        return pace


class ChunkRequest(Message):
    """The chunks of one blob that a device lacks: bit i of `missing` (base64, lowest bit first) is chunk i.

    With `credit`, it is sent no more than that; a request with `credit` in which nothing is missing ends its listening.
    """

    blob: Digest
    lane: Name
    chunk_bytes: Annotated[int, Field(ge=1024, le=256 * 1024)]
    chunks: Annotated[int, Field(ge=1, le=2_000_000)]
    missing: Annotated[str, StringConstraints(max_length=350_000)]
    credit: Credit | None = None


M = TypeVar("M", bound=BaseModel)


def encode(message: BaseModel) -> bytes:
    """The message as JSON, without fields that are None."""
    return message.model_dump_json(exclude_none=True).encode()


def decode(kind: type[M], data: bytes) -> M:
    """Read a message; nothing is taken for another type than it is, such as "12" for 12 or 1 for true.

    Raises:
        MalformedMessage: too many bytes, not JSON, or not of this kind.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise MalformedMessage(f"a {kind.__name__} of {len(data)} bytes is too large: at most {MAX_MESSAGE_BYTES}")
    try:
        return kind.model_validate_json(data, strict=True)
    except (ValidationError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"not a {kind.__name__}: {_first_fault(error)}") from None


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first: Any = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:200]
        return f"{where or 'message'}: {first['msg']}"[:400]
    return str(error)[:400]
