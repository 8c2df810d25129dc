"""What every kind of compressing needs: the model's files, workers, a golden set, variants published and chosen."""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefleet_compression.builds.entry_points import make_golden, source_metrics
from edgefleet_compression.builds.messages import GoldenRequest, ModelFiles, SourceRequest, WorkRefused
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_contract.operations import BuildProgress, OperationRecord
from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import StoreError
from edgefleet_controller.failpoints import reach
from edgefleet_controller.models.needs import choose_for
from edgefleet_controller.models.publishing import Publisher
from edgefleet_controller.records import ModelRecord, VariantRecord
from edgefleet_controller.store import FleetStore
from edgefleet_profiles.profile import DeviceProfile
from edgefleet_protocol.manifest import BlobRef


@dataclass(frozen=True)
class Folders:
    """Where builds work: the cache is kept between builds, `work` is not; `searches` are reports that are kept."""

    cache: Path
    work: Path
    searches: Path


class Workshop:
    """Store, blobs and workers, as one operation uses them."""

    def __init__(self, fleet: FleetStore, blobs: BlobFolder, folders: Folders, workers: WorkerPool) -> None:
        self.folders = folders
        self.workers = workers
        self.publisher = Publisher(fleet, blobs)
        self.stopped = threading.Event()
        self._fleet = fleet
        self._blobs = blobs

    def files(self, model: ModelRecord) -> ModelFiles:
        """Where the model's files lie, by their names."""
        return {name: self._blobs.path(sha256) for name, sha256 in model.files.items()}

    def golden(self, files: ModelFiles) -> BlobRef:
        """The golden set, ready to be delivered."""
        return self.publisher.deliver(self.workers.submit(make_golden, GoldenRequest(files)).result())

    def source_accuracy(self, files: ModelFiles) -> float | None:
        """The source model's share of right answers on val; None where it is not known."""
        metrics = self.workers.submit(source_metrics, SourceRequest(files, self.folders.cache)).result()
        return None if isinstance(metrics, WorkRefused) else metrics.accuracy_val

    def choose(
        self,
        model: ModelRecord,
        profiles: Sequence[DeviceProfile],
        variants: Sequence[VariantRecord],
        source_accuracy: float | None,
    ) -> None:
        """Choose among what was built now and before, and publish both together."""
        table = model.card.constraints
        known = {v.id: v for v in [*self._fleet.registry.variants(model.name, model.version), *variants]}
        choices = [choose_for(profile, table, source_accuracy, list(known.values())) for profile in profiles]
        self._fleet.registry.put_variants(list(variants), choices)
        reach("variants_published")

    def show(self, operation: OperationRecord, progress: list[BuildProgress]) -> None:
        """Write down how far an operation is."""
        changed = operation.model_copy(update={"progress": progress, "changed_ms": now_ms()})
        with contextlib.suppress(StoreError):  # how far it is, is no reason to give it up
            self._fleet.operations.put(changed)
