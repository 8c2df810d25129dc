"""Runs operations one at a time, their builds side by side in worker processes; never imports torch."""

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.builds.worker_team import WorkerTeam
from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.splits.data import samples_in
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_contract.errors import ContractError
from edgefleet_contract.operations import BuildResult, OperationRecord, OperationState, RebuildResult
from edgefleet_controller.clock import now_ms
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import ControllerError, Refused, StoreUnavailable
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

CANCELLED = "it was cancelled; its finished steps are in the cache"

OperationResult = BuildResult | RebuildResult
Work = Callable[[Workshop, OperationRecord], OperationResult]


@dataclass(frozen=True)
class _Turn:
    """An operation that waits or runs."""

    team: WorkerTeam
    future: Future[None]


class OperationQueue:
    """Runs the operations that compress models, one at a time."""

    def __init__(self, fleet: FleetStore, blobs: BlobFolder, folders: Folders, workers: WorkerPool) -> None:
        self._fleet, self._blobs, self._folders = fleet, blobs, folders
        self._workers = workers
        self._stopped = threading.Event()
        self._queue = ThreadPoolExecutor(max_workers=1, thread_name_prefix="operations")
        self._turns: dict[str, _Turn] = {}
        self._lock = threading.Lock()
        self.searches = folders.searches

    def start(self) -> None:
        """Fail what a former process left unfinished; its finished steps are cached."""
        shutil.rmtree(self._folders.work, ignore_errors=True)
        why = "the controller was restarted: start the operation again; finished steps are kept"
        for operation in self._fleet.operations.all():
            if operation.state == "running":
                self._close(operation, "failed", error=why)

    def stop(self) -> None:
        """Stop the workers at once; their unfinished steps are lost."""
        self._stopped.set()
        self._workers.shutdown(cancel_futures=True)
        self._queue.shutdown(wait=True, cancel_futures=True)

    def submit(
        self, model: ModelRecord, profiles: Sequence[DeviceProfile], recipes: Sequence[Recipe]
    ) -> OperationRecord:
        """Start compressing a model by these recipes for these profiles."""
        card = model.card
        trains = samples_in(self._blobs.path(model.files[card.data.file]), "train") > 0
        needs = needs_of(profiles, recipes, card.source, trains, model.ways)
        return self._begin("compress", model, lambda shop, operation: compress(shop, operation, model, needs, profiles))

    def search(self, model: ModelRecord, profiles: Sequence[DeviceProfile], quest: Quest) -> OperationRecord:
        """Start a search for variants of a model, to choose among for these profiles."""
        return self._begin(
            "search", model, lambda shop, operation: compress_by_search(shop, operation, model, profiles, quest)
        )

    def rebuild(self, original: Original) -> OperationRecord:
        """Start to build a variant again and compare it with the original."""
        return self._begin("rebuild", original.model, lambda shop, operation: rebuild(shop, operation, original))

    def cancel(self, operation_id: str) -> OperationRecord:
        """Cancel an operation; one that runs ends in a moment, and may just have succeeded.

        Raises:
            NotFound: there is no such operation.
            Refused: it has ended.
        """
        with self._lock:
            operation = self._fleet.operations.get(operation_id)
            turn = self._turns.get(operation_id)
            if operation.ended or turn is None:
                how = {"running": "is about to end", "cancelled": "was cancelled before"}
                said = how.get(operation.state, f"has {operation.state}")
                raise Refused(f"operation {operation_id} {said}: it cannot be cancelled any more")
            self._fleet.audit.note(now_ms(), "operation cancelled", operation_id, operation.target)
            turn.team.call_off()
            if turn.future.cancel():  # it has not begun, and never will; it stays cancellable until it is closed
                self._close(operation, "cancelled", error=CANCELLED)
                del self._turns[operation_id]
        return self._fleet.operations.get(operation_id)

    def _begin(self, kind: str, model: ModelRecord, work: Work) -> OperationRecord:
        now = now_ms()
        operation = OperationRecord(id=new_id(), kind=kind, target=model.ref, created_ms=now, changed_ms=now)
        self._fleet.operations.put(operation)
        reach("operation_accepted")
        team = WorkerTeam(self._workers)
        shop = Workshop(self._fleet, self._blobs, self._folders, team, self._stopped)
        with self._lock:
            self._turns[operation.id] = _Turn(team, self._queue.submit(self._run, operation, shop, work))
        return operation

    def _run(self, operation: OperationRecord, shop: Workshop, work: Work) -> None:
        try:
            self._end(operation, shop, work)
        finally:
            with self._lock:
                self._turns.pop(operation.id, None)
            if not self._stopped.is_set():
                shutil.rmtree(self._folders.work / operation.id, ignore_errors=True)

    def _end(self, operation: OperationRecord, shop: Workshop, work: Work) -> None:
        """Do the work, and close the operation, unless the controller stops."""
        try:
            result = work(shop, operation)
        except Exception as error:
            if self._stopped.is_set():
                return
            if shop.workers.is_called_off:
                log.info("operation '%s' on %s was cancelled", operation.kind, operation.target)
                self._close_at_last(operation, "cancelled", error=CANCELLED)
                return
            log.exception("operation '%s' on %s failed", operation.kind, operation.target)
            why = why_unavailable(error)
            self._close_at_last(operation, "failed", error=f"{why}, then start it again" if why else _said(error))
        else:
            if not self._stopped.is_set():
                self._close_at_last(operation, "succeeded", result=result)

    def _close_at_last(
        self,
        operation: OperationRecord,
        state: OperationState,
        *,
        result: OperationResult | None = None,
        error: str | None = None,
    ) -> None:
        """Close an operation as soon as the store can be written; an open one keeps blobs from being collected."""
        while True:
            try:
                return self._close(operation, state, result=result, error=error)
            except StoreUnavailable:
                if self._stopped.wait(CLOSE_AGAIN_S):
                    raise

    def _close(
        self,
        operation: OperationRecord,
        state: OperationState,
        *,
        result: OperationResult | None = None,
        error: str | None = None,
    ) -> None:
        latest = self._fleet.operations.get(operation.id)
        changes = {"state": state, "result": result, "error": error}
        self._fleet.operations.put(latest.model_copy(update={**changes, "changed_ms": now_ms()}))
        reach("operation_closed")


def _said(error: Exception) -> str:
    """The message of one of our errors, which says what to do; any other error gets its type, too."""
    if isinstance(error, ControllerError | CompressionError | ContractError):
        return str(error)
    return f"{type(error).__name__}: {error}"
