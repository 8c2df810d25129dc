"""Publishes a built ONNX file as blobs that devices can fetch."""

import json
import math
from pathlib import Path

from edgefleet_compression.builds.messages import BuildOutcome, KeptAnswers, RecordedAnswers
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_contract.metrics import Metrics
from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.failpoints import reach
from edgefleet_controller.records import AnswersRecord, ModelRecord, VariantRecord, needs_of_older
from edgefleet_controller.store import FleetStore
from edgefleet_profiles.parts import CHUNK_BYTES, THIN_CHUNK_BYTES
from edgefleet_protocol.chunks import hash_list_of
from edgefleet_protocol.features import REDUCED_ANSWERS
from edgefleet_protocol.manifest import (
    MAX_MANIFEST_BYTES,
    BlobRef,
    Core,
    Encoding,
    Expected,
    Manifest,
    Memory,
    ReducedAnswers,
)
from edgefleet_protocol.runtime_versions import needed_of_device
from edgefleet_protocol.spec import Spec

SAME_TOP1 = 0.9
"""Share of the golden set that must keep its recorded top-1; another processor may round differently."""
MAX_DIFFERENCE = 0.25
MAX_SCALING = 1.25
"""By how much the outputs of a device may be larger or smaller. Of what is within MAX_DIFFERENCE elsewhere, they are by
1.5 %: an int8 file for VNNI run without it, where sums saturate. See ADR 19."""
MOST_LABEL_BYTES = 64 * 1024
"""More than half of a manifest: devices then name classes by their numbers."""
MB = 2**20


class Publisher:
    """Makes the blobs and manifests of variants, for devices to fetch."""

    def __init__(self, fleet: FleetStore, blobs: BlobFolder) -> None:
        self._fleet = fleet
        self._blobs = blobs

    def deliver(self, data: bytes) -> BlobRef:
        """Store `data` as a blob that devices may fetch."""
        name = self._blobs.put(data)
        self._fleet.registry.put_blob(name, len(data), deliverable=True)
        return BlobRef(sha256=name, size_bytes=len(data))

    def deliver_file(self, path: Path) -> BlobRef:
        """Store a file as a blob that devices may fetch; it is never wholly in memory."""
        ref = self._blobs.put_file(path)
        self._fleet.registry.put_blob(ref.sha256, ref.size_bytes, deliverable=True)
        return ref

    def keep(self, model: ModelRecord, variant: str, found: KeptAnswers, asked: int) -> AnswersRecord:
        """Store answers as a blob that no device may fetch.

        Args:
            model: the version that was asked.
            variant: the id of its variant that answered; empty for the source model.
            found: the answers.
            asked: the version whose val it was.
        """
        ref = self._blobs.put_file(found.path)
        self._fleet.registry.put_blob(ref.sha256, ref.size_bytes, deliverable=False)
        return AnswersRecord(
            model=model.name, version=model.version, variant=variant, data=found.data, asked=asked, blob=ref.sha256
        )

    def publish(
        self, model: ModelRecord, recipe: Recipe, outcome: BuildOutcome, *, instruction_sets: tuple[str, ...]
    ) -> VariantRecord:
        """Encode a built variant, write its manifest in every form that agents know, and return its record.

        Args:
            model: the model it was made from.
            recipe: the recipe it was built by.
            outcome: what the build worker returned.
            instruction_sets: the instruction sets it was made for; empty means all.
        """
        manifest = self._manifest(model, recipe, outcome, instruction_sets)
        ref, older = self.deliver(manifest.to_bytes()), self._older(manifest, outcome.recorded)
        reach("variant_delivered")
        return VariantRecord(
            id=manifest.variant,
            model=model.name,
            version=model.version,
            recipe=recipe.name,
            title=recipe.title,
            instruction_sets=instruction_sets,
            manifest=ref.sha256,
            manifest_bytes=ref.size_bytes,
            older_manifest=older.sha256 if older else None,
            older_manifest_bytes=older.size_bytes if older else 0,
            delivery_bytes={size: manifest.delivery_bytes(size) for size in (CHUNK_BYTES, THIN_CHUNK_BYTES)},
            metrics=outcome.metrics,
            runtime=outcome.runtime,
            steps=outcome.steps,
            lineage=outcome.lineage,
            needs=(*manifest.needs, *needed_of_device(outcome.min_onnxruntime)),
            golden=outcome.recorded.size,
            scale=outcome.recorded.spec.scale,
            created_ms=now_ms(),
        )

    def _manifest(
        self, model: ModelRecord, recipe: Recipe, outcome: BuildOutcome, instruction_sets: tuple[str, ...]
    ) -> Manifest:
        recorded = outcome.recorded
        core = Core(
            onnx=self._blobs.put_file(outcome.onnx_path),
            runtime=outcome.runtime,
            task=outcome.task,
            labels=_labels(model.card.labels),
            golden=self.deliver(recorded.golden),
            spec=None if recorded.spec == Spec() else recorded.spec,
            signature=outcome.signature,
            state=outcome.state,
        )
        return Manifest(
            model=model.name,
            model_version=model.version,
            recipe=recipe.name,
            core=core,
            answers=ReducedAnswers(
                blob=self.deliver(recorded.answers),
                min_agreement=SAME_TOP1,
                max_difference=MAX_DIFFERENCE,
                max_scaling=MAX_SCALING,
                recorded_on=recorded.instruction_set,
                provider=recorded.provider,
            ),
            encodings=self._encodings(outcome.encoding_path),
            instruction_sets=instruction_sets,
            min_onnxruntime=outcome.min_onnxruntime,
            unfolded_bytes=outcome.unfolded_bytes,
            memory=_memory(outcome.metrics),
            needs=(REDUCED_ANSWERS, *core.needs),
        )

    def _older(self, manifest: Manifest, recorded: RecordedAnswers) -> BlobRef | None:
        """The manifest of the same variant as agents without the feature know it; None if it is more than they take."""
        if recorded.probabilities is None:
            return None
        changes = {"answers": None, "expected": _expected(recorded), "needs": needs_of_older(manifest.needs)}
        data = manifest.model_copy(update=changes).to_bytes()
        return self.deliver(data) if len(data) <= MAX_MANIFEST_BYTES else None

    def _encodings(self, packed: Path) -> tuple[Encoding, ...]:
        blob, made = self.deliver_file(packed), []
        for size in (CHUNK_BYTES, THIN_CHUNK_BYTES):
            with packed.open("rb") as file:
                hashes = self.deliver(hash_list_of(file, size))
            made.append(Encoding(kind="zstd", blob=blob, chunk_bytes=size, chunk_hashes=hashes))
        return tuple(made)


def _labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    return labels if len(json.dumps(labels)) <= MOST_LABEL_BYTES else ()


def _memory(metrics: Metrics) -> Memory | None:
    resident_mb, address_mb = metrics.peak_rss_mb, metrics.peak_address_mb
    if resident_mb is None or address_mb is None:
        return None
    return Memory(resident_bytes=round(max(resident_mb, 0) * MB), address_bytes=round(max(address_mb, 0) * MB))


def _expected(recorded: RecordedAnswers) -> Expected:
    rows = recorded.probabilities or ()
    return Expected(
        probabilities=rows,
        min_same_top1=math.ceil(SAME_TOP1 * len(rows)),
        max_difference=MAX_DIFFERENCE,
        recorded_on=recorded.instruction_set,
    )
