"""The workshop that every operation uses: a model's files, workers, publishing and choosing."""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefleet_compression.builds.entry_points import source_metrics
from edgefleet_compression.builds.messages import ModelFiles, SourceRequest, WorkRefused
from edgefleet_compression.builds.worker_team import WorkerTeam
from edgefleet_contract.operations import BuildProgress, OperationRecord
from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import StoreError
from edgefleet_controller.failpoints import reach
from edgefleet_controller.models.needs import choose_for
from edgefleet_controller.models.older_versions import Beside, OlderVersions
from edgefleet_controller.models.publishing import Publisher
from edgefleet_controller.records import AnswersRecord, ModelRecord, VariantRecord
from edgefleet_controller.store import FleetStore
from edgefleet_profiles.profile import DeviceProfile


@dataclass(frozen=True)
class Folders:
    """Folders of builds: `cache` and the reports in `searches` are kept, `work` is not."""

    cache: Path
    work: Path
    searches: Path


class Workshop:
    """Store, blobs and workers, as one operation uses them.

    Args:
        fleet: the fleet's store.
        blobs: the files of models and variants.
        folders: where builds work.
        workers: those of this operation.
        stopped: set when the controller stops.
    """

    def __init__(
        self, fleet: FleetStore, blobs: BlobFolder, folders: Folders, workers: WorkerTeam, stopped: threading.Event
    ) -> None:
        self.folders = folders
        self.workers = workers
        self.publisher = Publisher(fleet, blobs)
        self.stopped = stopped
        self._fleet = fleet
        self._blobs = blobs

    def files(self, model: ModelRecord) -> ModelFiles:
        """The paths of the model's files, by name."""
        return {name: self._blobs.path(sha256) for name, sha256 in model.files.items()}

    def source_score(self, files: ModelFiles) -> float | None:
        """Measure the source model's score on val; None if unknown."""
        metrics = self.workers.submit(source_metrics, SourceRequest(files, self.folders.cache)).result()
        return None if isinstance(metrics, WorkRefused) else metrics.score_val

    def beside(self, operation: OperationRecord, model: ModelRecord, files: ModelFiles, data: str) -> Beside:
        """Ask older versions what this one is measured by, its val, and compare it with the one before."""
        older = OlderVersions(self._fleet, self._blobs, self.publisher, self.workers)
        return older.ask(model, files, data, self.folders.cache, self.folders.work / operation.id)

    def choose(
        self,
        model: ModelRecord,
        profiles: Sequence[DeviceProfile],
        variants: Sequence[VariantRecord],
        answers: Sequence[AnswersRecord],
        source_score: float | None,
    ) -> None:
        """Choose among variants built now and before, and publish variants, choices and answers together.

        An operation does this last: one that was called off must not have published anything.

        Raises:
            CalledOff: the operation was called off.
        """
        self.workers.refuse_if_called_off()
        table = model.card.constraints
        known = {v.id: v for v in [*self._fleet.registry.variants(model.name, model.version), *variants]}
        choices = [choose_for(profile, table, source_score, list(known.values())) for profile in profiles]
        with self._fleet.transaction():
            self._fleet.registry.put_variants(list(variants), choices)
            self._fleet.registry.put_answers(answers)
        reach("variants_published")

    def show(self, operation: OperationRecord, progress: list[BuildProgress]) -> None:
        """Record the progress of an operation."""
        changed = operation.model_copy(update={"progress": progress, "changed_ms": now_ms()})
        with contextlib.suppress(StoreError):  # failing to record progress must not fail the build
            self._fleet.operations.put(changed)
