"""Compresses a model by given recipes, each built in a worker; those that fail are left out, with the reason."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path

from edgefleet_compression.builds.entry_points import build_variant, weights_of
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, ModelFiles, WorkRefused
from edgefleet_compression.builds.progress import read_progress
from edgefleet_compression.builds.refusals import settled
from edgefleet_compression.cache import Cache
from edgefleet_contract.operations import BuildProgress, BuildResult, OperationRecord, StepCounts
from edgefleet_controller.errors import NotBuilt
from edgefleet_controller.models.needs import NeededVariant, Needs
from edgefleet_controller.models.pace import BuildShare, in_words, seconds_left, share_done
from edgefleet_controller.models.workshop import Workshop
from edgefleet_controller.records import ModelRecord
from edgefleet_profiles.profile import DeviceProfile

POLL_S = 0.3
SEED = 0
ALL = "all builds"
NOT_YET_DONE = 0.99  # of a build whose steps are done: its lineage is still to be written


@dataclass(frozen=True)
class RunningBuild:
    """A variant that a worker builds or will build, with its progress file."""

    need: NeededVariant
    progress_path: Path
    future: Future[BuildOutcome | WorkRefused]

    def progress(self) -> BuildProgress:
        """Its progress, under its label."""
        known = read_progress(self.progress_path) or BuildProgress(recipe=self.need.label, fraction=0.0, text="waiting")
        return known.model_copy(update={"recipe": self.need.label, "text": self._ended_badly() or known.text})

    def _ended_badly(self) -> str | None:
        if not self.future.done():
            return None
        outcome = settled(self.future)
        return "not built" if isinstance(outcome, WorkRefused) else None

    def share(self, progress: BuildProgress) -> BuildShare:
        """Its part of the work; it is done with its outcome, not with its last step."""
        fraction = 1.0 if self.future.done() else min(progress.fraction, NOT_YET_DONE)
        return BuildShare(sum(weights_of(self.need.recipe)), fraction, progress.cached or 0.0)


def compress(
    shop: Workshop,
    operation: OperationRecord,
    model: ModelRecord,
    needs: Needs,
    profiles: Sequence[DeviceProfile],
) -> BuildResult:
    """Build and publish variants, and choose one for each profile.

    Raises:
        NotBuilt: no variant could be built.
        CalledOff: the operation was called off.
    """
    cache = Cache(shop.folders.cache)
    before = len(cache.ledger())
    files = shop.files(model)
    outcomes = _build_all(shop, operation, files, needs.variants)
    shop.workers.refuse_if_called_off()
    made = [(need, outcome) for need, outcome in outcomes if isinstance(outcome, BuildOutcome)]
    refused = [(need, outcome) for need, outcome in outcomes if isinstance(outcome, WorkRefused)]
    failed = {need.label: why.sentence for need, why in refused if why.reason != "not_applicable"}
    left_out = {**needs.left_out, **{need.label: why.sentence for need, why in refused if need.label not in failed}}
    if not made:
        reasons = {**failed, **left_out}
        raise NotBuilt("no variant could be built: " + "; ".join(f"{k}: {v}" for k, v in reasons.items()))
    variants = [
        shop.publisher.publish(
            model,
            need.recipe,
            outcome,
            instruction_sets=(need.only_for,) if need.only_for else (),
        )
        for need, outcome in made
    ]
    kept = [shop.publisher.keep(model, v.id, o.val, model.version) for v, (_, o) in zip(variants, made, strict=True)]
    beside = shop.beside(operation, model, files, kept[0].data)
    shop.choose(model, profiles, variants, [*kept, *beside.answers], shop.source_score(files))
    cached = sum(step.cached for _, outcome in made for step in outcome.steps)
    return BuildResult(
        variants=[v.id for v in variants],
        failed=failed,
        steps=StepCounts(run=len(cache.ledger()) - before, cached=cached),
        not_applicable=left_out,
        compared=beside.compared,
    )


def _build_all(
    shop: Workshop, operation: OperationRecord, files: ModelFiles, needs: Sequence[NeededVariant]
) -> list[tuple[NeededVariant, BuildOutcome | WorkRefused]]:
    work = shop.folders.work / operation.id
    work.mkdir(parents=True)
    builds = [_begun(shop, files, need, work / str(n)) for n, need in enumerate(needs)]
    waiting = {build.future for build in builds}
    began_s = time.monotonic()
    while waiting and not shop.stopped.is_set():
        waiting = wait(waiting, timeout=POLL_S).not_done
        shop.show(operation, progress_of(builds, time.monotonic() - began_s))
    return [(build.need, settled(build.future)) for build in builds]


def _begun(shop: Workshop, files: ModelFiles, need: NeededVariant, folder: Path) -> RunningBuild:
    progress_path = folder.with_suffix(".progress.json")
    request = BuildRequest(
        files=files,
        recipe=need.recipe,
        instruction_set=need.instruction_set,
        cache_dir=shop.folders.cache,
        work_dir=folder,
        progress_path=progress_path,
        seed=SEED,
        providers=need.providers,
    )
    return RunningBuild(need, progress_path, shop.workers.submit(build_variant, request))


def progress_of(builds: Sequence[RunningBuild], elapsed_s: float) -> list[BuildProgress]:
    """An entry for all builds together, then one for each."""
    entries = [build.progress() for build in builds]
    shares = [build.share(entry) for build, entry in zip(builds, entries, strict=True)]
    left = in_words(seconds_left(shares, elapsed_s))
    ended = sum(build.future.done() for build in builds)
    text = ", ".join(filter(None, [f"{ended} of {len(builds)}", left if ended < len(builds) else ""]))
    return [BuildProgress(recipe=ALL, fraction=round(share_done(shares), 4), text=text), *entries]
