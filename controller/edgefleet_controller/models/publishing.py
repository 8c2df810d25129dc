"""Publishes a built ONNX file as blobs that devices can fetch."""

import math

from edgefleet_compression.builds.messages import BuildOutcome, ExpectedAnswers
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_contract.metrics import Metrics
from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.failpoints import reach
from edgefleet_controller.records import ModelRecord, VariantRecord
from edgefleet_controller.store import FleetStore
from edgefleet_profiles.parts import CHUNK_BYTES, THIN_CHUNK_BYTES
from edgefleet_protocol.chunks import hash_list
from edgefleet_protocol.encoding import compress
from edgefleet_protocol.manifest import BlobRef, Core, Encoding, Expected, Manifest, Memory, Preprocessing

SAME_TOP1 = 0.9
"""Share of the golden set that must keep its recorded top-1; another processor may round differently."""
MAX_DIFFERENCE = 0.25
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

    def publish(
        self,
        model: ModelRecord,
        recipe: Recipe,
        outcome: BuildOutcome,
        *,
        golden: BlobRef,
        instruction_sets: tuple[str, ...],
    ) -> VariantRecord:
        """Encode a built variant, write its manifest, and return its record.

        Args:
            model: the model it was made from.
            recipe: the recipe it was built by.
            outcome: what the build worker returned.
            golden: the golden set, shared by all variants of the model.
            instruction_sets: the instruction sets it was made for; empty means all.
        """
        onnx = outcome.onnx_path.read_bytes()
        manifest = Manifest(
            model=model.name,
            model_version=model.version,
            recipe=recipe.name,
            core=Core(
                onnx=BlobRef(sha256=self._blobs.put(onnx), size_bytes=len(onnx)),
                runtime=outcome.runtime,
                preprocessing=Preprocessing(scale=model.card.preprocessing.scale),
                task=model.card.task,
                labels=model.card.labels,
                golden=golden,
            ),
            expected=_expected(outcome.expected),
            encodings=self._encodings(onnx),
            instruction_sets=instruction_sets,
            unfolded_bytes=outcome.unfolded_bytes,
            memory=_memory(outcome.metrics),
        )
        ref = self.deliver(manifest.to_bytes())
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
            delivery_bytes={size: manifest.delivery_bytes(size) for size in (CHUNK_BYTES, THIN_CHUNK_BYTES)},
            metrics=outcome.metrics,
            runtime=outcome.runtime,
            steps=outcome.steps,
            lineage=outcome.lineage,
            needs=manifest.needs,
            created_ms=now_ms(),
        )

    def _encodings(self, onnx: bytes) -> tuple[Encoding, ...]:
        packed = compress(onnx)
        blob = self.deliver(packed)
        return tuple(
            Encoding(
                kind="zstd",
                blob=blob,
                chunk_bytes=size,
                chunk_hashes=self.deliver(hash_list(packed, size)),
            )
            for size in (CHUNK_BYTES, THIN_CHUNK_BYTES)
        )


def _memory(metrics: Metrics) -> Memory | None:
    resident_mb, address_mb = metrics.peak_rss_mb, metrics.peak_address_mb
    if resident_mb is None or address_mb is None:
        return None
    return Memory(resident_bytes=round(max(resident_mb, 0) * MB), address_bytes=round(max(address_mb, 0) * MB))


def _expected(answers: ExpectedAnswers) -> Expected:
    return Expected(
        probabilities=answers.probabilities,
        min_same_top1=math.ceil(SAME_TOP1 * len(answers.probabilities)),
        max_difference=MAX_DIFFERENCE,
        recorded_on=answers.instruction_set,
    )
