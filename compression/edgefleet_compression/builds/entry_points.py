"""The functions that run in a worker process; each takes one request from `messages.py`.

Importing this module is cheap: the functions import torch, onnx and onnxruntime, in the worker.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, SourceRequest
from edgefleet_compression.builds.progress import ProgressFile
from edgefleet_compression.builds.refusals import refusing
from edgefleet_compression.builds.step_reports import figures_of
from edgefleet_compression.builds.worker_main import one_thread
from edgefleet_compression.errors import CompressionError, NotApplicable
from edgefleet_compression.heartbeat import beat
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.registry import registry
from edgefleet_compression.schemes import NO_SCHEME, Scheme, scheme_for
from edgefleet_compression.search_roles import EXPORT
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.variants import StepReport
from edgefleet_protocol.encoding import compress_file
from edgefleet_protocol.runtime_options import with_providers

if TYPE_CHECKING:
    from edgefleet_compression.builds.recipe_runner import Workbench
    from edgefleet_compression.models.source import Source

VARIANT = "variant.onnx"
REFERENCE = "reference.onnx"
ENCODING = "encoding"
ANSWERS = "val.answers"
TRAINING_WEIGHT = 2.0


@refusing
def build_variant(request: BuildRequest) -> BuildOutcome:
    """Build and measure one variant."""
    started = time.monotonic()
    recipe, scheme = request.recipe, _scheme(request)
    progress = ProgressFile(request.progress_path, recipe.name, weights_of(recipe))
    progress.at(0, recipe.steps[0].step, 0.0, "starting")
    one_thread()
    from edgefleet_compression.builds.golden import record as record_answers
    from edgefleet_compression.builds.kept_answers import answer_set, kept_in
    from edgefleet_compression.builds.lineage import record
    from edgefleet_compression.builds.recipe_runner import Workbench, run_recipe
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.measuring.measure import measured
    from edgefleet_compression.models.source_files import open_source
    from edgefleet_compression.models.splits.data import check_golden
    from edgefleet_compression.onnx_graphs.graph import unfolded_bytes
    from edgefleet_compression.onnx_graphs.runtime import needed_onnxruntime

    request.work_dir.mkdir(parents=True, exist_ok=True)
    cache = Cache(request.cache_dir)
    source = open_source(request.files, cache)
    check_golden(source.sent.data.read("val"))
    bench = Workbench(source, scheme, request.seed, cache, request.work_dir)
    made, reports = run_recipe(recipe, bench, progress.at)
    path = _composed(made, source, request.work_dir / VARIANT)
    build_s = round(time.monotonic() - started, 2)
    last = len(recipe.steps)
    progress.at(last, "measure", 0.0, "measuring")
    runtime = with_providers(request.providers)
    encoding = request.work_dir / ENCODING
    size_bytes = compress_file(path, encoding, beat)
    reference = _source_file(bench, request.work_dir / REFERENCE)
    found = measured(path, source.sent, runtime, _parameters(reports), build_s, reference, size_bytes)
    recorded = record_answers(path, source.sent, runtime, found.metrics.encoding_bytes or 0)
    progress.at(last, "measure", 1.0, "done")
    return BuildOutcome(
        onnx_path=path,
        encoding_path=encoding,
        runtime=runtime,
        metrics=found.metrics,
        recorded=recorded,
        val=kept_in(request.work_dir / ANSWERS, answer_set(source.sent, found.val)),
        unfolded_bytes=unfolded_bytes(path),
        steps=tuple(reports),
        scheme=scheme if "scheme" in recipe.needs else None,
        lineage=record(source, recipe, request.seed, request.instruction_set),
        min_onnxruntime=needed_onnxruntime(path),
        task=source.task,
        signature=source.sent.told_signature,
        state=source.sequences,
    )


@refusing
def source_metrics(request: SourceRequest) -> Metrics:
    """Measure how well the source model answers."""
    one_thread()
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.measuring.answered import JUDGED, answered, score_figures
    from edgefleet_compression.models.source_files import open_source

    source = open_source(request.files, Cache(request.cache_dir)).sent
    val, test = (answered(source, source.reduced(name), name) for name in JUDGED)
    figures = {"agreement_val": 1.0, "agreement": 1.0, "parameters": source.state.parameters()}
    return score_figures(source, val, test).model_copy(update=figures)


@refusing
def teach(request: SourceRequest) -> None:
    """Cache the source model's answers to every train sample, as it is and mirrored.

    Every student learns from them; computed beforehand, they count towards no training time.
    """
    one_thread()
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source_files import open_source

    source = open_source(request.files, Cache(request.cache_dir))
    for mirrored in (False, True):
        source.logits("train", mirrored)


def weights_of(recipe: Recipe) -> list[float]:
    """Expected relative duration of each step, and of measuring at the end."""
    return [*(1.0 + TRAINING_WEIGHT * getattr(registry().settings(spec), "epochs", 0) for spec in recipe.steps), 1.0]


def _composed(made: Path, source: "Source", path: Path) -> Path:
    """What steps made, as devices get it; the very file where nothing is put around it."""
    if not source.made.is_needed:
        return Path(shutil.copyfile(made, path))
    import onnx

    from edgefleet_compression.models.around.composed_file import compose_file

    return compose_file(onnx.load(made), source.signature, source.made, path)


def _source_file(bench: "Workbench", path: Path) -> Path | None:
    """The source's file, to time a variant against: exported if that can be done; None if there is none at all."""
    from edgefleet_compression.builds.recipe_runner import run_recipe
    from edgefleet_compression.models.states import BroughtState

    state = bench.source.state
    try:
        made = run_recipe(Recipe(name="fp32", title="the source", steps=(EXPORT,)), bench, lambda *_: beat())[0]
    except CompressionError:
        if not isinstance(state, BroughtState):
            return None
        made = state.path
    return _composed(made, bench.source, path)


def _scheme(request: BuildRequest) -> Scheme | None:
    scheme = scheme_for(request.instruction_set)
    if "scheme" in request.recipe.needs and scheme is None:
        raise NotApplicable(f"recipe '{request.recipe.name}': {NO_SCHEME[request.instruction_set]}")
    return scheme


def _parameters(reports: Sequence[StepReport]) -> int | None:
    counts = (figures_of(report).parameters for report in reversed(reports))
    return next((count for count in counts if count is not None), None)
