"""Compress a model by given recipes: each built in a worker, those that fail left out with their reason."""

import contextlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from edgefleet_compression.builds.entry_points import build_variant, weights_of
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import WorkerLostError
from edgefleet_controller.models.needs import Build
from edgefleet_controller.models.pace import BuildShare, in_words, seconds_left, share_done
from edgefleet_controller.models.workshop import Workshop
from edgefleet_controller.records import ModelRecord, OperationRecord
from edgefleet_profiles.profile import DeviceProfile

POLL_S = 0.3
SEED = 0
ALL = "all builds"
NOT_YET_DONE = 0.99  # what is left of a build whose steps are done: its lineage is written


def compress(
    shop: Workshop,
    operation: OperationRecord,
    model: ModelRecord,
    builds: Sequence[Build],
    profiles: Sequence[DeviceProfile],
) -> dict[str, Any]:
    """Golden set, builds, publication, and a choice for each profile.

    Returns:
        The operation's result: variants by id, the reason for each build that failed, and how many steps ran and how
        many came from the cache.

    Raises:
        RuntimeError: not one variant could be built.
    """
    cache = Cache(shop.folders.cache)
    before = len(cache.ledger())
    files = shop.files(model)
    golden = shop.golden(files)
    outcomes = _build_all(shop, operation, files, builds)
    made = [(b, o) for b, o in zip(builds, outcomes, strict=True) if o["ok"]]
    failed = {b.label: str(o["error"]) for b, o in zip(builds, outcomes, strict=True) if not o["ok"]}
    if not made:
        raise RuntimeError("no variant could be built: " + "; ".join(f"{k}: {v}" for k, v in failed.items()))
    variants = [
        shop.publisher.publish(model, b.recipe, o, golden=golden, instruction_sets=(b.only_for,) if b.only_for else ())
        for b, o in made
    ]
    shop.choose(model, profiles, variants, shop.source_accuracy(files))
    run = len(cache.ledger()) - before
    steps = sum(len(o["steps"]) for _, o in made)
    return {
        "variants": [v.id for v in variants],
        "failed": failed,
        "steps": {"run": run, "cached": max(0, steps - run)},
    }


def _build_all(
    shop: Workshop, operation: OperationRecord, files: dict[str, str], builds: Sequence[Build]
) -> list[dict[str, Any]]:
    work = shop.folders.work / operation.id
    work.mkdir(parents=True)
    requests = [_request(shop, files, build, work / str(n)) for n, build in enumerate(builds)]
    futures = [shop.workers.submit(build_variant, request) for request in requests]
    waiting: set[Future[Any]] = set(futures)
    began_s = time.monotonic()
    while waiting and not shop.stopped.is_set():
        waiting = wait(waiting, timeout=POLL_S).not_done
        shop.show(operation, _progress(builds, requests, futures, time.monotonic() - began_s))
    return [_outcome(future) for future in futures]


def _request(shop: Workshop, files: dict[str, str], build: Build, folder: Path) -> dict[str, Any]:
    return {
        "files": files,
        "recipe": build.recipe.model_dump(mode="json"),
        "instruction_set": build.instruction_set,
        "cache_dir": str(shop.folders.cache),
        "work_dir": str(folder),
        "progress_path": str(folder.with_suffix(".progress.json")),
        "seed": SEED,
    }


def _progress(
    builds: Sequence[Build], requests: list[dict[str, Any]], futures: list[Future[Any]], elapsed_s: float
) -> list[dict[str, Any]]:
    """An entry for all builds together, and one for each."""
    entries, parts = [], []
    for build, request, future in zip(builds, requests, futures, strict=True):
        entry: dict[str, Any] = {"recipe": build.label, "fraction": 0.0, "text": "waiting"}
        with contextlib.suppress(OSError, ValueError):
            entry.update(json.loads(Path(request["progress_path"]).read_text()), recipe=build.label)
        if future.done() and not _outcome(future)["ok"]:
            entry["text"] = "not built"
        fraction = 1.0 if future.done() else min(float(entry["fraction"]), NOT_YET_DONE)
        parts.append(BuildShare(sum(weights_of(build.recipe)), fraction, float(entry.get("cached", 0.0))))
        entries.append(entry)
    left = in_words(seconds_left(parts, elapsed_s))
    ended = sum(future.done() for future in futures)
    text = ", ".join(filter(None, [f"{ended} of {len(builds)}", left if ended < len(builds) else ""]))
    return [{"recipe": ALL, "fraction": round(share_done(parts), 4), "text": text}, *entries]


def _outcome(future: Future[Any]) -> dict[str, Any]:
    try:
        return dict(future.result())
    except WorkerLostError as error:
        return {"ok": False, "error": str(error)}
    except Exception as error:
        return {"ok": False, "error": f"unexpected {type(error).__name__} ({error})"}
