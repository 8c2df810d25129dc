"""Runs operations one at a time, their builds side by side in worker processes; never imports torch."""

import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.data import samples_in
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_contract.errors import ContractError
from edgefleet_contract.operations import BuildResult, OperationRecord, RebuildResult
from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import ControllerError, StoreUnavailable
from edgefleet_controller.failpoints import reach
from edgefleet_controller.ids import new_id
from edgefleet_controller.models.by_recipes import compress
from edgefleet_controller.models.by_search import Quest, compress_by_search
from edgefleet_controller.models.needs import needs_of
from edgefleet_controller.models.rebuild import Original, rebuild
from edgefleet_controller.models.workshop import Folders, Workshop
from edgefleet_controller.records import ModelRecord
from edgefleet_controller.store import FleetStore
from edgefleet_controller.trouble import why_unavailable
from edgefleet_profiles.profile import DeviceProfile

log = logging.getLogger(__name__)

CLOSE_AGAIN_S = 1.0

OperationResult = BuildResult | RebuildResult


class OperationQueue:
    """Runs the operations that compress models, one at a time."""

    def __init__(self, fleet: FleetStore, blobs: BlobFolder, folders: Folders, workers: WorkerPool) -> None:
        self._fleet = fleet
        self._folders = folders
        self._shop = Workshop(fleet, blobs, folders, workers)
        self._queue = ThreadPoolExecutor(max_workers=1, thread_name_prefix="operations")
        self.searches = folders.searches

    def start(self) -> None:
        """Fail what a former process left unfinished; its finished steps are cached."""
        shutil.rmtree(self._folders.work, ignore_errors=True)
        for operation in self._fleet.operations.all():
            if operation.state == "running":
                self._close(
                    operation, error="the controller was restarted: start the operation again; finished steps are kept"
                )

    def stop(self) -> None:
        """Stop the workers at once; their unfinished steps are lost."""
        self._shop.stopped.set()
        self._shop.workers.shutdown(cancel_futures=True)
        self._queue.shutdown(wait=True, cancel_futures=True)

    def submit(
        self, model: ModelRecord, profiles: Sequence[DeviceProfile], recipes: Sequence[Recipe]
    ) -> OperationRecord:
        """Start compressing a model by these recipes for these profiles."""
        card = model.card
        trains = samples_in(self._shop.files(model)[card.data.file], "train") > 0
        needs = needs_of(profiles, recipes, card.source, trains)
        return self._begin("compress", model, lambda operation: compress(self._shop, operation, model, needs, profiles))

    def search(self, model: ModelRecord, profiles: Sequence[DeviceProfile], quest: Quest) -> OperationRecord:
        """Start a search for variants of a model, to choose among for these profiles."""
        return self._begin(
            "search", model, lambda operation: compress_by_search(self._shop, operation, model, profiles, quest)
        )

    def rebuild(self, original: Original) -> OperationRecord:
        """Start to build a variant again and compare it with the original."""
        return self._begin("rebuild", original.model, lambda operation: rebuild(self._shop, operation, original))

    def _begin(
        self, kind: str, model: ModelRecord, work: Callable[[OperationRecord], OperationResult]
    ) -> OperationRecord:
        now = now_ms()
        operation = OperationRecord(id=new_id(), kind=kind, target=model.ref, created_ms=now, changed_ms=now)
        self._fleet.operations.put(operation)
        reach("operation_accepted")
        self._queue.submit(self._run, operation, work)
        return operation

    def _run(self, operation: OperationRecord, work: Callable[[OperationRecord], OperationResult]) -> None:
        stopped = self._shop.stopped
        try:
            result = work(operation)
        except Exception as error:
            if not stopped.is_set():
                log.exception("operation '%s' on %s failed", operation.kind, operation.target)
                why = why_unavailable(error)
                self._close_at_last(operation, error=f"{why}, then start it again" if why else _said(error))
        else:
            if not stopped.is_set():
                self._close_at_last(operation, result=result)
        finally:
            if not stopped.is_set():
                shutil.rmtree(self._folders.work / operation.id, ignore_errors=True)

    def _close_at_last(
        self, operation: OperationRecord, *, result: OperationResult | None = None, error: str | None = None
    ) -> None:
        """Close an operation as soon as the store can be written; an open one keeps blobs from being collected."""
        while True:
            try:
                return self._close(operation, result=result, error=error)
            except StoreUnavailable:
                if self._shop.stopped.wait(CLOSE_AGAIN_S):
                    raise

    def _close(
        self, operation: OperationRecord, *, result: OperationResult | None = None, error: str | None = None
    ) -> None:
        latest = self._fleet.operations.get(operation.id)
        changes = {"state": "failed" if error else "succeeded", "result": result, "error": error}
        self._fleet.operations.put(latest.model_copy(update={**changes, "changed_ms": now_ms()}))
        reach("operation_closed")


def _said(error: Exception) -> str:
    """The message of one of our errors, which says what to do; any other error gets its type, too."""
    if isinstance(error, ControllerError | CompressionError | ContractError):
        return str(error)
    return f"{type(error).__name__}: {error}"
