"""What the API shows of the records."""

from typing import Annotated

from pydantic import BaseModel, Field

from edgefleet_compression.builds.lineage import Lineage
from edgefleet_compression.builds.step_reports import StepReport
from edgefleet_controller.records import (
    ChoiceRecord,
    ConflictRecord,
    DeviceRecord,
    DeviceStatus,
    ExecutionRecord,
    ModelRecord,
    RolloutRecord,
    RolloutSpec,
    VariantRecord,
    WaveRecord,
)
from edgefleet_profiles.parts import CHUNK_BYTES
from edgefleet_protocol.messages import Attempt, Facts, HostFacts, Lost, Slot


class ModelView(BaseModel):
    """A registered model version."""

    model: str
    name: str
    version: int
    task: str
    labels: list[str]
    files: dict[str, str]
    created_ms: int

    @classmethod
    def of(cls, record: ModelRecord) -> "ModelView":
        """Show a record."""
        card = record.card
        return cls(model=record.ref, task=card["task"], labels=card["labels"], **record.model_dump(exclude={"card"}))


class VariantView(BaseModel):
    """A variant with its figures: accuracy is that of the untouched test split; null means not measured.

    `steps` say what each step did, with the digest of what it made; `lineage` what all of it was made of and with, null
    where it was built before that was kept.
    """

    id: str
    model: str
    recipe: str
    title: str
    instruction_sets: list[str]
    accuracy: float | None
    accuracy_ci: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    accuracy_val: float | None
    test_samples: int | None
    agreement: float | None
    agreement_val: float | None
    p50_ms: float | None
    p95_ms: float | None
    measured_on: str | None
    parameters: int | None
    file_bytes: int | None
    encoding_bytes: int | None
    delivery_bytes: int
    peak_rss_mb: float | None
    mj_per_inference: float | None
    manifest: str
    runtime: dict[str, str]
    steps: tuple[StepReport, ...]
    lineage: Lineage | None

    @classmethod
    def of(cls, record: VariantRecord) -> "VariantView":
        """Show a record; `delivery_bytes` is that of an ordinary link."""
        metrics = record.metrics.model_dump()
        return cls(
            model=f"{record.model}@{record.version}",
            accuracy=metrics["accuracy_test"],
            accuracy_ci=metrics["accuracy_test_ci"],
            delivery_bytes=record.delivery_bytes[CHUNK_BYTES],
            **{k: v for k, v in metrics.items() if k in cls.model_fields},
            **record.model_dump(
                include={"id", "recipe", "title", "instruction_sets", "manifest", "runtime", "steps", "lineage"}
            ),
        )


class ChoiceView(BaseModel):
    """What one profile gets, and why each variant is or is not that one."""

    profile: str
    variant: str | None
    reasons: dict[str, str]

    @classmethod
    def of(cls, record: ChoiceRecord) -> "ChoiceView":
        """Show a record."""
        return cls(profile=record.profile, variant=record.variant, reasons=record.reasons)


class DeviceModelView(BaseModel):
    """One model on a device: what answers, and the last attempt."""

    generation: int
    desired_generation: int | None
    answering: Slot | None
    slots: list[Slot]
    attempt: Attempt | None
    lost: Lost | None


class DeviceView(BaseModel):
    """A device as it last reported itself; `added_as` is the profile that it was added for, if it was.

    `conflict` names the incarnations that report under this id in turn, if two agents do. `lost_windows` are those that
    the device no longer had when the controller missed them. `disk_trouble` is why its state folder cannot be written.
    """

    id: str
    status: DeviceStatus
    added_as: str | None
    profile: str
    region: str
    hardware: str
    link: str
    device_class: str | None
    simulated: bool
    online: bool
    first_seen_ms: int
    last_seen_ms: int
    incarnation: str
    conflict: ConflictRecord | None
    boot: int
    agent_version: str
    endpoint: str | None
    labels: dict[str, str]
    facts: Facts
    host_facts: HostFacts | None
    models: dict[str, DeviceModelView]
    spooled_windows: int
    dropped_windows: int
    lost_windows: int
    set_aside: int
    disk_trouble: str | None

    @classmethod
    def of(
        cls,
        record: DeviceRecord,
        generations: dict[str, int],
        labels: dict[str, str],
        device_class: str | None,
        *,
        conflict: ConflictRecord | None,
        lost_windows: int,
    ) -> "DeviceView":
        """Show a record together with the generations that were asked of the device."""
        said = record.reported
        return cls(
            profile=record.profile,
            **said.facts.model_dump(include={"region", "hardware", "link", "simulated"}),
            **record.model_dump(
                include={"id", "status", "added_as", "online", "first_seen_ms", "last_seen_ms", "incarnation"}
            ),
            device_class=device_class,
            conflict=conflict,
            lost_windows=lost_windows,
            labels=labels,
            boot=said.boot,
            agent_version=said.agent_version,
            endpoint=said.endpoint,
            facts=said.facts,
            host_facts=said.host_facts,
            models={
                name: DeviceModelView(
                    generation=model.generation,
                    desired_generation=generations.get(name),
                    answering=model.answering,
                    slots=list(model.slots),
                    attempt=model.attempt,
                    lost=model.lost,
                )
                for name, model in said.models.items()
            },
            spooled_windows=said.spooled_windows,
            dropped_windows=said.dropped_windows,
            set_aside=said.set_aside,
            disk_trouble=said.disk_trouble,
        )


class WaveView(WaveRecord):
    """A wave with its devices counted by phase."""

    counts: dict[str, int]


class RolloutView(BaseModel):
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

    @classmethod
    def of(cls, record: RolloutRecord, counts: dict[int, dict[str, int]], back: dict[str, int]) -> "RolloutView":
        """Show a record together with the phases of its executions, and of their ways back."""
        total: dict[str, int] = {}
        for of_wave in counts.values():
            for phase, count in of_wave.items():
                total[phase] = total.get(phase, 0) + count
        spec = record.spec
        return cls(
            model=f"{spec.model}@{spec.version}",
            segment=spec.segment,
            selector=spec.selector,
            waves=[WaveView(**w.model_dump(), counts=counts.get(w.number, {})) for w in record.waves],
            counts=total,
            counts_back=back,
            spec=spec,
            **record.model_dump(include={"id", "state", "reason", "created_ms", "changed_ms"}),
        )


class PlanView(BaseModel):
    """Exactly what starting the rollout would do."""

    model: str
    selector: str
    waves: list[list[ExecutionRecord]]
