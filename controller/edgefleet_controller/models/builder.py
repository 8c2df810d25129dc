"""Builds variants in spawned workers; the service itself never imports torch."""

import contextlib
import json
import logging
import multiprocessing
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefleet_compression.build import build_variant, make_golden, source_metrics
from edgefleet_compression.card import ModelCard
from edgefleet_compression.metrics import Metrics
from edgefleet_compression.recipe import Recipe
from edgefleet_compression.worker import warm_worker
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.failpoints import reach
from edgefleet_controller.ids import new_id, now_ms
from edgefleet_controller.models.builds import Build, builds_for, choose_for
from edgefleet_controller.models.publishing import Publisher
from edgefleet_controller.records import ModelRecord, OperationRecord, VariantRecord
from edgefleet_controller.store import Store
from edgefleet_controller.store.trouble import why_unavailable
from edgefleet_profiles.profile import DeviceProfile

log = logging.getLogger(__name__)

WORKERS = 2
POLL_S = 0.3
CLOSE_AGAIN_S = 1.0
IDLE_GRACE_S = 0.5
SEED = 0


@dataclass(frozen=True)
class Folders:
    """Where builds work: the cache is kept between builds, `work` is not."""

    cache: Path
    work: Path


class Builder:
    """Takes one operation at a time; its builds run side by side in a pool of worker processes."""

    def __init__(self, store: Store, blobs: BlobFolder, folders: Folders) -> None:
        self._store = store
        self._blobs = blobs
        self._publisher = Publisher(store, blobs)
        self._folders = folders
        self._queue = ThreadPoolExecutor(max_workers=1, thread_name_prefix="builder")
        self._pool: ProcessPoolExecutor | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Mark what a former process left unfinished; its finished steps are in the cache."""
        shutil.rmtree(self._folders.work, ignore_errors=True)
        for operation in self._store.registry.operations():
            if operation.state == "running":
                self._close(operation, error="the controller was restarted: start it again, finished steps are kept")

    def stop(self) -> None:
        """End the workers at once; nothing that they had begun counts."""
        self._stopped.set()
        pool, self._pool = self._pool, None
        if pool:
            workers = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            until = time.monotonic() + IDLE_GRACE_S  # idle workers leave by themselves, and tidily
            for worker in workers:
                worker.join(max(0.0, until - time.monotonic()))
                worker.terminate()
            for worker in workers:
                worker.join(1)
            pool.shutdown(wait=True)
        self._queue.shutdown(wait=True, cancel_futures=True)

    def submit(
        self, model: ModelRecord, profiles: Sequence[DeviceProfile], recipes: Sequence[Recipe]
    ) -> OperationRecord:
        """Begin to compress a model by these recipes for these profiles."""
        now = now_ms()
        operation = OperationRecord(id=new_id(), kind="compress", target=model.ref, created_ms=now, changed_ms=now)
        self._store.registry.put_operation(operation)
        reach("operation_accepted")
        source = ModelCard.model_validate(model.card).source
        builds, left_out = builds_for(profiles, recipes, source)
        self._queue.submit(self._run, operation, model, builds, left_out, profiles)
        return operation

    def _run(
        self,
        operation: OperationRecord,
        model: ModelRecord,
        builds: Sequence[Build],
        left_out: dict[str, str],
        profiles: Sequence[DeviceProfile],
    ) -> None:
        try:
            result = {**self._compress(operation, model, builds, profiles), "not_applicable": left_out}
        except Exception as error:
            if not self._stopped.is_set():
                log.exception("compressing %s failed", model.ref)
                why = why_unavailable(error)
                self._close_at_last(operation, error=f"{why}, then start it again" if why else _named(error))
        else:
            self._close_at_last(operation, result=result)
        finally:
            if not self._stopped.is_set():
                shutil.rmtree(self._folders.work / operation.id, ignore_errors=True)

    def _close_at_last(self, operation: OperationRecord, **how: Any) -> None:
        """Close an operation as soon as the disk takes it: one left open would keep blobs from being collected."""
        while True:
            try:
                return self._close(operation, **how)
            except sqlite3.OperationalError as error:
                if why_unavailable(error) is None or self._stopped.wait(CLOSE_AGAIN_S):
                    raise

    def _close(self, operation: OperationRecord, *, result: Any = None, error: str | None = None) -> None:
        latest = self._store.registry.operation(operation.id)
        changes = {"state": "failed" if error else "succeeded", "result": result, "error": error}
        self._store.registry.put_operation(latest.model_copy(update={**changes, "changed_ms": now_ms()}))
        reach("operation_closed")

    def _compress(
        self,
        operation: OperationRecord,
        model: ModelRecord,
        builds: Sequence[Build],
        profiles: Sequence[DeviceProfile],
    ) -> dict[str, Any]:
        """Golden set, builds, publication, and a choice for each profile."""
        files = {name: str(self._blobs.path(sha256)) for name, sha256 in model.files.items()}
        golden = self._publisher.deliver(self._submit(make_golden, files).result())
        source = self._submit(source_metrics, files, str(self._folders.cache))
        outcomes = self._build_all(operation, files, builds)
        variants = [
            self._publisher.publish(
                model, b.recipe, o, golden=golden, instruction_sets=(b.only_for,) if b.only_for else ()
            )
            for b, o in zip(builds, outcomes, strict=True)
            if o["ok"]
        ]
        failed = {b.label: str(o["error"]) for b, o in zip(builds, outcomes, strict=True) if not o["ok"]}
        if not variants:
            raise RuntimeError("no variant could be built: " + "; ".join(f"{k}: {v}" for k, v in failed.items()))
        self._choose(model, profiles, variants, _accuracy(source.result()))
        return {"variants": [v.id for v in variants], "failed": failed}

    def _choose(
        self,
        model: ModelRecord,
        profiles: Sequence[DeviceProfile],
        variants: list[VariantRecord],
        source_accuracy: float | None,
    ) -> None:
        """Choose among what was built now and before, and publish both together."""
        table = ModelCard.model_validate(model.card).constraints
        known = {v.id: v for v in [*self._store.registry.variants(model.name, model.version), *variants]}
        choices = [choose_for(profile, table, source_accuracy, list(known.values())) for profile in profiles]
        self._store.registry.put_variants(variants, choices)
        reach("variants_published")

    def _build_all(
        self, operation: OperationRecord, files: dict[str, str], builds: Sequence[Build]
    ) -> list[dict[str, Any]]:
        work = self._folders.work / operation.id
        work.mkdir(parents=True)
        requests = [self._request(files, build, work / str(n)) for n, build in enumerate(builds)]
        futures = [self._submit(build_variant, request) for request in requests]
        waiting: set[Future[Any]] = set(futures)
        while waiting and not self._stopped.is_set():
            waiting = wait(waiting, timeout=POLL_S).not_done
            self._show(operation, builds, requests)
        return [_outcome(future) for future in futures]

    def _request(self, files: dict[str, str], build: Build, folder: Path) -> dict[str, Any]:
        return {
            "files": files,
            "recipe": build.recipe.model_dump(mode="json"),
            "instruction_set": build.instruction_set,
            "cache_dir": str(self._folders.cache),
            "work_dir": str(folder),
            "progress_path": str(folder.with_suffix(".progress.json")),
            "seed": SEED,
        }

    def _show(self, operation: OperationRecord, builds: Sequence[Build], requests: list[dict[str, Any]]) -> None:
        progress = []
        for build, request in zip(builds, requests, strict=True):
            entry: dict[str, Any] = {"recipe": build.label, "fraction": 0.0, "text": "waiting"}
            with contextlib.suppress(OSError, ValueError):
                entry.update(json.loads(Path(request["progress_path"]).read_text()), recipe=build.label)
            progress.append(entry)
        changed = operation.model_copy(update={"progress": progress, "changed_ms": now_ms()})
        with contextlib.suppress(sqlite3.OperationalError):  # how far it is, is no reason to give it up
            self._store.registry.put_operation(changed)

    def _submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Give work to the pool; one that broke is replaced."""
        for _ in range(2):
            if self._pool is None:
                self._pool = ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn"), initializer=warm_worker)
            try:
                return self._pool.submit(function, *args)
            except BrokenProcessPool:
                self._pool = None
        raise RuntimeError("worker processes do not start: see the log")


def _outcome(future: Future[Any]) -> dict[str, Any]:
    try:
        return dict(future.result())
    except Exception as error:
        return {"ok": False, "error": f"the worker died ({type(error).__name__}): out of memory, or killed"}


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _accuracy(source: dict[str, Any]) -> float | None:
    return Metrics.model_validate(source["metrics"]).accuracy_val if source["ok"] else None
