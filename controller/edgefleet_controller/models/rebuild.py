"""Builds a variant again from its lineage, with an empty cache, and compares the result."""

from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

from edgefleet_compression.builds.comparison import compare_answers
from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, CompareRequest, WorkRefused
from edgefleet_compression.builds.progress import read_progress
from edgefleet_compression.builds.reproduction import BuiltFile, compare
from edgefleet_compression.errors import RecipeError
from edgefleet_compression.recipes.recipe import Recipe, recipe_from
from edgefleet_contract.lineage import Lineage
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.operations import (
    AnswerComparison,
    BuildProgress,
    Change,
    OperationRecord,
    RebuildResult,
    Value,
)
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import NotBuilt, NotFound, Refused
from edgefleet_controller.models.workshop import Workshop
from edgefleet_controller.records import ModelRecord, VariantRecord
from edgefleet_controller.store import FleetStore
from edgefleet_process.reading import digest_of_file
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.manifest import verify
from edgefleet_protocol.runtime_options import providers_in

POLL_S = 0.3


@dataclass(frozen=True)
class Original:
    """A variant as it was built, with what a rebuild needs and is compared with.

    `former` is its ONNX file; None if that is gone.
    """

    variant: VariantRecord
    lineage: Lineage
    recipe: Recipe
    model: ModelRecord
    made: BuiltFile
    former: Path | None


def find_original(fleet: FleetStore, blobs: BlobFolder, variant: VariantRecord) -> Original:
    """Find what a rebuild of a variant needs.

    Raises:
        Refused: its lineage is missing, this version doesn't know its recipe, or its model's files are gone.
    """
    model = fleet.registry.model(variant.model, variant.version)
    again = f"compress {model.ref} again"
    if variant.lineage is None:
        raise Refused(f"variant {variant.id} was built before lineages were kept: {again}")
    if missing := [name for name, sha256 in model.files.items() if not blobs.path(sha256).is_file()]:
        raise Refused(f"'{missing[0]}' of {model.ref} is gone: register its folder again")
    try:
        recipe = recipe_from(variant.lineage.recipe.model_dump())
        manifest = verify(blobs.read(variant.manifest), variant.manifest)
    except RecipeError as error:
        raise Refused(f"this version of edgefleet cannot build it again: {error}") from None
    except (NotFound, ProtocolError) as error:
        raise Refused(f"the manifest of {variant.id} cannot be read ({error}): {again}") from None
    former = blobs.path(manifest.core.onnx.sha256)
    made = BuiltFile(variant.steps, manifest.core.onnx.sha256, manifest.encodings[0].blob.sha256)
    return Original(variant, variant.lineage, recipe, model, made, former if former.is_file() else None)


def rebuild(shop: Workshop, operation: OperationRecord, original: Original) -> RebuildResult:
    """Build a variant again and compare; nothing is published.

    Raises:
        NotBuilt: it could not be built.
        WorkerLostError: the worker died or exceeded its limits.
    """
    folder = shop.folders.work / operation.id
    folder.mkdir(parents=True)
    request = BuildRequest(
        files=shop.files(original.model),
        recipe=original.recipe,
        instruction_set=original.lineage.instruction_set,
        cache_dir=folder / "cache",
        work_dir=folder / "build",
        progress_path=folder / "progress.json",
        seed=original.lineage.seed,
        providers=providers_in(original.variant.runtime),
    )
    future = shop.workers.submit(build_variant, request)
    while wait([future], timeout=POLL_S).not_done and not shop.stopped.is_set():
        known = read_progress(folder / "progress.json")
        shop.show(operation, [known or BuildProgress(recipe=original.variant.recipe, fraction=0.0, text="waiting")])
    outcome = future.result()
    if isinstance(outcome, WorkRefused):
        raise NotBuilt(f"it could not be built again: {outcome.sentence}")
    return _result(original, outcome, _answers(shop, original, request, outcome.onnx_path))


def _answers(shop: Workshop, original: Original, build: BuildRequest, rebuilt: Path) -> AnswerComparison | None:
    if original.former is None:
        return None
    request = CompareRequest(build.files, build.cache_dir, original.former, rebuilt, original.variant.runtime)
    return shop.workers.submit(compare_answers, request).result()


def _result(original: Original, outcome: BuildOutcome, answers: AnswerComparison | None) -> RebuildResult:
    onnx, encoding = digest_of_file(outcome.onnx_path), digest_of_file(outcome.encoding_path)
    then, now = original.made, BuiltFile(outcome.steps, onnx, encoding)
    found = compare(original.lineage, then, outcome.lineage, now, answers)
    before, after = _figures(original.variant.metrics), _figures(outcome.metrics)
    return RebuildResult(
        variant=original.variant.id,
        verdict=found.verdict,
        reasons=found.reasons,
        changed=found.changed,
        steps=found.steps,
        answers=found.answers,
        onnx=Change(then=then.onnx, now=now.onnx),
        encoding=Change(then=then.encoding, now=now.encoding),
        figures={name: Change(then=before.get(name), now=figure) for name, figure in after.items()},
    )


def _figures(metrics: Metrics) -> dict[str, Value]:
    """The figures to compare, by name."""
    score = "accuracy" if metrics.measure.is_accuracy else "score"
    return {
        f"{score}_val": metrics.score_val,
        f"{score}_test": metrics.score_test,
        "agreement": metrics.agreement,
        "p50_ms": metrics.p50_ms,
        "file_bytes": metrics.file_bytes,
        "encoding_bytes": metrics.encoding_bytes,
        "peak_rss_mb": metrics.peak_rss_mb,
    }
