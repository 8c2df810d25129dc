"""What all models on a device share: its folder, its facts, its link, and where events go."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic_core import to_json

from edgefleet_agent.download import Download, forget
from edgefleet_agent.errors import Rejected, SlotRotten, WorkerError
from edgefleet_agent.events import InboxEvent
from edgefleet_agent.failpoints import reach
from edgefleet_agent.fetch import Fetcher
from edgefleet_agent.journal import Journal
from edgefleet_agent.lifecycle import on_the_way
from edgefleet_agent.measured_link import MeasuredLink
from edgefleet_agent.placed import Placed
from edgefleet_agent.records import InstalledModel, RecordFile
from edgefleet_agent.slots import MODEL, Slots
from edgefleet_agent.windows import DeviceWindows
from edgefleet_agent.worker_handle import CPU, Worker, WorkerSpec
from edgefleet_agent.worker_room import WorkerRoom, check_room, held_model
from edgefleet_profiles.parts import Act
from edgefleet_protocol import runtime_options
from edgefleet_protocol.manifest import BlobRef, Core, Manifest
from edgefleet_protocol.memory_budget import HeldModel, needed_mb
from edgefleet_protocol.messages import DesiredModel, Facts, Slot

log = logging.getLogger("edgefleet.agent")


def scorer_text(core: Core) -> str:
    """How the answers of a variant are counted and scored, for workers."""
    spec = core.spec.told() if core.spec else {}
    return to_json({"task": core.task, "spec": spec, "labels": core.labels}).decode()


def providers_for(slot: Slot, core: Core, facts: Facts) -> tuple[tuple[str, ...], str | None]:
    """The execution providers to ask for, the CPU last, and why those are not what a variant names; pure."""
    if slot.ran_on and slot.ran_on.nodes:
        tested = tuple(sorted(slot.ran_on.nodes, key=lambda name: name in CPU))
        return tested, slot.ran_on.why
    named = runtime_options.providers_in(core.runtime) or facts.providers
    states = {state.name: state for state in facts.probed}
    here = [name for name in named if name not in states or states[name].works]
    lacking = [f"{name} does not work here ({states[name].why})" for name in named if name not in here]
    asked = tuple(dict.fromkeys((*(name for name in here if name not in CPU), *CPU)))
    return asked, "; ".join(lacking) or None


@dataclass
class Device:
    """One device; `post` hands an event to the loop and may be called on any thread."""

    folder: Path
    facts: Facts
    records: RecordFile
    journal: Journal
    slots: Slots
    fetcher: Fetcher
    link: MeasuredLink
    windows: DeviceWindows
    post: Callable[[InboxEvent], None]
    threads: int = 1

    def __post_init__(self) -> None:
        self.workers = WorkerRoom(self.facts.memory)

    @property
    def downloads(self) -> Path:
        """The folder of all downloads."""
        return self.folder / "downloads"

    @property
    def free_bytes(self) -> int:
        """The free space on the disk; 0 if it cannot be read."""
        try:
            return shutil.disk_usage(self.folder).free
        except OSError:
            return 0

    def may_switch(self, desired: DesiredModel) -> bool:
        """Whether this may answer now, as far as windows go."""
        return desired.at_once or self.windows.may("switch")

    def must_wait(self, record: InstalledModel) -> bool:
        """Whether an attempt can do nothing before its window opens."""
        act: Act = "switch" if record.attempt.phase == "staged" else "fetch"
        return not record.desired.at_once and not self.windows.may(act)

    def download_of(self, manifest: str, desired: DesiredModel) -> Download:
        """The download of what is desired; its manifest is the one with this digest."""
        blob = BlobRef(sha256=manifest, size_bytes=desired.manifest_bytes)
        return Download(self.downloads, blob, self.fetcher, at_once=desired.at_once)

    def start(self, slot: Slot, cpu_because: str | None = None) -> Placed:
        """Start a worker for a slot; takes a fraction of a second.

        A slot that was tested is started on what it was tested on; another one on the providers that its manifest asks
        for, or that this device has. Whatever they do to the worker, the CPU is tried before the variant is at fault.

        Args:
            slot: what to start.
            cpu_because: why it should run on the CPU alone, whatever it asks for.

        Raises:
            SlotRotten: the slot has changed on disk.
            Rejected: its manifest asks for what this agent refuses, or there is no room for it beside the workers of
                other models.
            WorkerError: the worker does not start, or refuses the model.
        """
        manifest = self.slots.manifest(slot.variant)
        if manifest is None:
            raise SlotRotten(f"the slot of {slot.variant} has lost its manifest, or has another one")
        if told := runtime_options.refusal(manifest.core.runtime):  # an older agent may have installed it
            raise Rejected("manifest_invalid", told)
        asked, why = (CPU, cpu_because) if cpu_because else providers_for(slot, manifest.core, self.facts)
        room = self.workers.take(manifest)
        try:
            spec = self.workers.limited(room, self._spec(slot, manifest, asked))
            try:
                worker = Worker(spec)
            except SlotRotten:
                raise
            except WorkerError as error:
                if asked == CPU:
                    raise
                why = f"with {', '.join(asked)}, {error}"
                worker = Worker(spec := replace(spec, providers=CPU))
        except Exception:
            room.given_up = True
            raise
        ran_on = worker.ran_on.model_copy(update={"why": worker.ran_on.why or why})
        if ran_on.why:
            log.warning("%s: %s is not run as asked: %s", manifest.model, slot.variant[:12], ran_on.why)
        tested = slot.model_copy(update={"ran_on": ran_on})
        room.placed = placed = Placed(tested, manifest, replace(spec, providers=worker.providers), worker)
        return placed

    def _spec(self, slot: Slot, manifest: Manifest, providers: tuple[str, ...]) -> WorkerSpec:
        core = manifest.core
        address_bytes = manifest.memory.address_bytes if manifest.memory else 0
        return WorkerSpec(
            self.slots.path(slot.variant) / MODEL,
            runtime_options.session_entries(core.runtime),
            *(self.threads, core.onnx.sha256, manifest.unfolded_bytes or 0, address_bytes),
            providers=providers,
            signature=core.signature,
            scorer=scorer_text(core),
            state=core.state,
        )

    def check_room(self, manifest: Manifest) -> None:
        """Check that a variant fits beside what else is wanted here: other models, and what answers of this one.

        Of another model that is on its way, the larger of its two variants counts.

        Raises:
            Rejected: out_of_memory, with the models, what each takes, and the budget.
        """
        beside: list[HeldModel] = []
        for name, record in self.records.models.items():
            own = name == manifest.model
            wanted = record.attempt.variant if on_the_way(record.attempt.phase) and not own else None
            others = self._held(name, {record.answering, wanted} - ({manifest.variant} if own else set()))
            beside += sorted(others, key=lambda one: one.mb or 0)[-1:]
        check_room(self.facts.memory, held_model(manifest), beside)

    def may_try(self, model: str) -> bool:
        """Whether a model may try its staged variant now: there is room, or no other model tries one."""
        records, trying = self.records.models, ("self_test", "trial")
        tried = {name for name, record in records.items() if name == model or record.attempt.phase in trying}
        if tried <= {model} or self.facts.memory is None or records[model].desired.at_once:
            return True
        held: list[HeldModel] = []
        for name, record in records.items():
            held += self._held(name, {record.answering, record.attempt.variant if name in tried else None})
        return needed_mb(self.facts.memory, held) <= self.facts.memory.budget_mb

    def _held(self, model: str, variants: set[str | None]) -> list[HeldModel]:
        """What these variants of a model count as; one slot may serve two models, and has the manifest of either."""
        slots = self.records.models[model].slots
        found: list[HeldModel] = []
        for variant in sorted(v for v in variants if v):
            if manifest := self.slots.manifest(variant):
                version = slots[variant].model_version if variant in slots else manifest.model_version
                found.append(held_model(manifest)._replace(model=model, version=version))
        return found

    def tidy(self) -> None:
        """Remove what no model needs: slots beside the answering, the previous and the candidate, and old downloads."""
        keep_slots: set[str] = set()
        keep_downloads: set[str] = set()
        for record in self.records.models.values():
            attempt = record.attempt
            under_way = on_the_way(attempt.phase)
            keep_slots |= {v for v in (record.answering, record.previous, attempt.variant if under_way else None) if v}
            if under_way and attempt.manifest and attempt.phase in ("notified", "downloading", "verified"):
                keep_downloads.add(attempt.manifest)
        reach("tidying")
        self.slots.collect(keep_slots)
        forget(self.downloads, keep_downloads)
        reach("downloads_collected")
