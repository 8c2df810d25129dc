"""The types that the store returns, in place of rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from edgefleet_compression.models.ways import ANY_WAY, Ways, signed_ways, training_ways
from edgefleet_contract.card import ModelCard
from edgefleet_contract.devices import DeviceStatus
from edgefleet_contract.lineage import Lineage
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.readings import ModelReading
from edgefleet_contract.rollouts import RolloutPhase, RolloutSpec, WaveRecord
from edgefleet_contract.variants import GoldenSize, StepReport
from edgefleet_controller.rescaling import ALIKE, Rescaling
from edgefleet_profiles.names import Name
from edgefleet_profiles.parts import Hardware
from edgefleet_protocol.counters import Counters
from edgefleet_protocol.features import FIRST_TASK, REDUCED_ANSWERS
from edgefleet_protocol.messages import Facts, ReportedState
from edgefleet_protocol.moments import Moments
from edgefleet_protocol.runtime_options import providers_in


class Record(BaseModel):
    """Base of the records; immutable values."""

    model_config = ConfigDict(frozen=True)


class ModelRecord(Record):
    """A model version: its card, and the digests of its source files; `reading` is None if nobody looked at it."""

    name: Name
    version: int
    files: dict[str, str]
    card: ModelCard
    created_ms: int
    reading: ModelReading | None = None

    @property
    def task(self) -> str:
        """What it does: as it was read, else by its card, else what all did before there were tasks."""
        return self.reading.task if self.reading else self.card.task or FIRST_TASK

    @property
    def ways(self) -> Ways:
        """What may be made of it beside delivering it as it is, as far as that is known without its file."""
        if self.card.source == "torch":
            return ANY_WAY
        if (read := self.reading) is None:
            return training_ways(self.task, max(1, len(self.card.described)) + len(self.card.state))
        if read.state is not None:
            return training_ways(self.task, len(read.signature.inputs) + len(read.state.pairs))
        return signed_ways(self.task, read.signature, self.card.preprocessing.resize is not None)

    @property
    def ref(self) -> str:
        """`fashion@1`."""
        return f"{self.name}@{self.version}"


class ManifestForm(NamedTuple):
    """One form of a variant's manifest: its digest and size, and the features that an agent must have to obey it."""

    manifest: str
    size_bytes: int
    needs: tuple[str, ...] = ()


def needs_of_older(needs: Iterable[str]) -> tuple[str, ...]:
    """What the older form of a manifest needs, of what the newest does."""
    return tuple(need for need in needs if need != REDUCED_ANSWERS)


def forms_of(newest: ManifestForm, older: str | None, older_bytes: int) -> tuple[ManifestForm, ...]:
    """The forms of one variant's manifest, the newest first."""
    return (newest, ManifestForm(older, older_bytes, needs_of_older(newest.needs))) if older else (newest,)


class VariantRecord(Record):
    """Model x recipe, built and published; `lineage` is None if it was built before lineages were recorded.

    `needs` lists the features without which an agent would run it differently than intended. `older_manifest` is the
    manifest in the form that agents without reduced answers know, for the same variant; None if there is none. `golden`
    is None for a variant that was built before each had a golden set of its own. `scale` is what a wholly wrong number
    is off by, where the task scores by that; empty for others, and for variants that were built before it was kept.
    """

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
    needs: tuple[str, ...] = ()
    older_manifest: str | None = None
    older_manifest_bytes: int = 0
    golden: GoldenSize | None = None
    scale: tuple[float, ...] = ()
    created_ms: int

    @property
    def forms(self) -> "tuple[ManifestForm, ...]":
        """Its manifests, the newest form first."""
        return forms_of(
            ManifestForm(self.manifest, self.manifest_bytes, self.needs),
            self.older_manifest,
            self.older_manifest_bytes,
        )

    def runs_on(self, instruction_set: str) -> bool:
        """Whether this variant was made for processors with this instruction set."""
        return not self.instruction_sets or instruction_set in self.instruction_sets

    def made_for_others(self, hardware: Hardware, instruction_set: str) -> str | None:
        """Why this variant is none of this hardware's: made for other processors, or other execution providers."""
        if not self.runs_on(instruction_set):
            return f"made for {', '.join(self.instruction_sets)}, this is {instruction_set}"
        named = providers_in(self.runtime)
        if named and named[0] not in hardware.providers:
            return f"made for {named[0]}, this has {', '.join(hardware.providers)}"
        return None


class AnswersRecord(Record):
    """Where the answers of a variant to all of some version's val are kept, for the controller alone.

    `variant` is empty for the source model of the version. `asked` is the version whose val it was, and `data` the
    sha256 of its samples and labels.
    """

    model: Name
    version: int
    variant: str
    data: str
    asked: int
    blob: str


class ChoiceRecord(Record):
    """The variant chosen for one profile, and the reason for or against each candidate."""

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
    keep: str | None = None
    at_once: bool = False


class Annotation(Record):
    """What operators have written on a device: labels beside those that it reports, and a note."""

    labels: dict[str, str] = {}
    note: str | None = None


class DeviceRecord(Record):
    """A device as it last reported itself; `added_as` is the profile that an operator added it with."""

    id: Name
    status: DeviceStatus
    added_as: str | None = None
    incarnation: str
    online: bool
    last_seen_ms: int
    first_seen_ms: int
    reported: ReportedState
    annotation: Annotation = Annotation()

    @property
    def labels(self) -> dict[str, str]:
        """Its labels beside those of its profile; one that an operator set counts before one that it reports."""
        return {**self.reported.labels, **self.annotation.labels}

    @property
    def facts(self) -> Facts:
        """What the device is."""
        return self.reported.facts

    @property
    def profile(self) -> str:
        """`eu/rpi4/lte`."""
        return f"{self.facts.region}/{self.facts.hardware}/{self.facts.link}"


class VerdictRecord(Record):
    """The last word on a variant for the devices of one profile: a gate passed it, or it was rejected.

    It is rejected by a gate that fails a wave, and by an operator's rollback.
    """

    model: Name
    profile: str
    variant: str
    manifest: str
    rollout: str
    passed: bool
    at_ms: int


class RolloutRecord(Record):
    """A rollout's current state, without its executions."""

    id: str
    spec: RolloutSpec
    state: RolloutPhase
    reason: str | None = None
    waves: tuple[WaveRecord, ...]
    created_ms: int
    changed_ms: int


@dataclass(frozen=True)
class Evidence:
    """The telemetry that a wave is judged by, for one profile, by device.

    `new` is the rollout's variant on devices that have committed to it; `before` is how right the answers were of what
    the rollout's devices ran until then, as far back as windows are kept; `control` is what those that have not
    switched yet have run since the rollout began. Nothing of a device outside the rollout is in it. Scores are by
    `measure`, and those of what ran before by `measure_before`, if that is another. `rescaled` says what the new ones
    may be by the scale of what ran before.
    """

    profile: str
    new: Mapping[str, Counters]
    before: Mapping[str, Moments]
    control: Mapping[str, Counters]
    measure: MeasureView = ACCURACY
    measure_before: MeasureView | None = None
    rescaled: Rescaling = ALIKE
