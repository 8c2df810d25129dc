"""The functions that run in a worker process; each takes one request from `messages.py`.

Importing this module is cheap: the functions import torch, onnx and onnxruntime, in the worker.
"""

import io
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgefleet_compression.builds.messages import (
    BuildOutcome,
    BuildRequest,
    ExpectedAnswers,
    GoldenRequest,
    SourceRequest,
)
from edgefleet_compression.builds.progress import ProgressFile
from edgefleet_compression.builds.refusals import refusing
from edgefleet_compression.builds.step_reports import figures_of
from edgefleet_compression.builds.worker_main import one_thread
from edgefleet_compression.errors import CompressionError, DataError, NotApplicable
from edgefleet_compression.heartbeat import beat
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.registry import registry
from edgefleet_compression.schemes import NO_SCHEME, Scheme, scheme_for
from edgefleet_compression.search_roles import EXPORT
from edgefleet_contract.card import CARD_FILE, check_files, parse_card
from edgefleet_contract.errors import CardError
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.variants import StepReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgefleet_compression.builds.recipe_runner import Workbench
    from edgefleet_compression.models.source import Source

VARIANT = "variant.onnx"
TRAINING_WEIGHT = 2.0
MAX_GOLDEN_BYTES = 2**20
MAX_EXPECTED_BYTES = 96 * 1024
"""Recorded answers are part of the manifest, which may be 128 KB."""


@refusing
def build_variant(request: BuildRequest) -> BuildOutcome:
    """Build and measure one variant."""
    started = time.monotonic()
    recipe, scheme = request.recipe, _scheme(request)
    progress = ProgressFile(request.progress_path, recipe.name, weights_of(recipe))
    progress.at(0, recipe.steps[0].step, 0.0, "starting")
    one_thread()
    from edgefleet_compression.builds.lineage import record
    from edgefleet_compression.builds.recipe_runner import Workbench, run_recipe
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.measuring.measure import measured
    from edgefleet_compression.models.source import open_source
    from edgefleet_compression.onnx_graphs.graph import unfolded_bytes

    request.work_dir.mkdir(parents=True, exist_ok=True)
    cache = Cache(request.cache_dir)
    source = open_source(request.files, cache)
    bench = Workbench(source, scheme, request.seed, cache, request.work_dir)
    made, reports = run_recipe(recipe, bench, progress.at)
    path = Path(shutil.copyfile(made, request.work_dir / VARIANT))
    build_s = round(time.monotonic() - started, 2)
    last = len(recipe.steps)
    progress.at(last, "measure", 0.0, "measuring")
    runtime: dict[str, str] = {}
    metrics = measured(path, source, runtime, _parameters(reports), build_s, _source_file(bench))
    expected = _expected(path, source, runtime)
    progress.at(last, "measure", 1.0, "done")
    return BuildOutcome(
        onnx_path=path,
        runtime=runtime,
        metrics=metrics,
        expected=expected,
        unfolded_bytes=unfolded_bytes(path),
        steps=tuple(reports),
        scheme=scheme if "scheme" in recipe.needs else None,
        lineage=record(source, recipe, request.seed, request.instruction_set),
    )


@refusing
def source_metrics(request: SourceRequest) -> Metrics:
    """Measure the source model's accuracy."""
    one_thread()
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.measuring.measure import accuracies
    from edgefleet_compression.models.source import open_source

    source = open_source(request.files, Cache(request.cache_dir))
    right = accuracies(source.logits("val").argmax(1), source.logits("test").argmax(1), source.data)
    return Metrics(
        accuracy_val=right.val,
        accuracy_test=right.test,
        accuracy_test_ci=right.test_ci,
        test_samples=right.test_samples,
        agreement_val=1.0,
        agreement=1.0,
        parameters=source.state.parameters(),
    )


@refusing
def teach(request: SourceRequest) -> None:
    """Cache the source model's answers to every train sample, as it is and mirrored.

    Every student learns from them; computed beforehand, they count towards no training time.
    """
    one_thread()
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source import open_source

    source = open_source(request.files, Cache(request.cache_dir))
    for mirrored in (False, True):
        source.logits("train", mirrored)


def make_golden(request: GoldenRequest) -> bytes:
    """Make the golden set, the first samples of val: an npz of `inputs` [M, *shape] and, if known, `labels` int64 [M].

    The same files give the same bytes. Imports numpy, not torch.

    Raises:
        CardError: model.toml, or a file it names, is missing or wrong.
        DataError: val is missing or too small, or the set is too large for a device.
    """
    import numpy as np

    from edgefleet_compression.models.data import open_data

    if CARD_FILE not in request.files:
        raise CardError(f"{CARD_FILE} is missing: register the model's folder again")
    card = parse_card(request.files[CARD_FILE].read_text(encoding="utf-8"))
    check_files(card, request.files)
    golden = open_data(request.files[card.data.file], card).split("val")
    if len(golden.x) < card.golden.samples:
        raise DataError(
            f"val holds {len(golden.x)} samples, fewer than the {card.golden.samples} of golden.samples: lower it"
        )
    golden = golden.first(card.golden.samples)
    buffer = io.BytesIO()
    if golden.y is None:
        np.savez_compressed(buffer, inputs=golden.x)
    else:
        np.savez_compressed(buffer, inputs=golden.x, labels=golden.y)
    if buffer.tell() > MAX_GOLDEN_BYTES:
        raise DataError(
            f"the golden set of {len(golden.x)} samples takes {buffer.tell():,} bytes; devices take at most "
            f"{MAX_GOLDEN_BYTES:,}: lower golden.samples"
        )
    return buffer.getvalue()


def weights_of(recipe: Recipe) -> list[float]:
    """Expected relative duration of each step, and of measuring at the end."""
    return [*(1.0 + TRAINING_WEIGHT * getattr(registry().settings(spec), "epochs", 0) for spec in recipe.steps), 1.0]


def _source_file(bench: "Workbench") -> Path | None:
    """The source's fp32 file, to time a variant against; None if it cannot be exported, which its own build says."""
    from edgefleet_compression.builds.recipe_runner import run_recipe

    try:
        return run_recipe(Recipe(name="fp32", title="the source", steps=(EXPORT,)), bench, lambda *_: beat())[0]
    except CompressionError:
        return None


def _scheme(request: BuildRequest) -> Scheme | None:
    scheme = scheme_for(request.instruction_set)
    if "scheme" in request.recipe.needs and scheme is None:
        raise NotApplicable(f"recipe '{request.recipe.name}': {NO_SCHEME[request.instruction_set]}")
    return scheme


def _parameters(reports: Sequence[StepReport]) -> int | None:
    counts = (figures_of(report).parameters for report in reversed(reports))
    return next((count for count in counts if count is not None), None)


def _expected(path: Path, source: "Source", runtime: dict[str, str]) -> ExpectedAnswers:
    """Run the variant on the golden set here, one sample at a time as a device does."""
    import numpy as np

    from edgefleet_compression.measuring.host import host
    from edgefleet_compression.onnx_graphs.session import GraphSession, inputs

    golden = source.data.split("val").first(source.card.golden.samples)
    logits = (
        GraphSession(path, runtime).logits(inputs(golden.x, source.card.preprocessing.scale), batch=1).astype(float)
    )
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    recorded = probabilities.round(_digits(probabilities)).tolist()
    if (size := len(json.dumps(recorded))) > MAX_EXPECTED_BYTES:
        raise DataError(
            f"the answers to {len(golden.x)} golden samples take {size:,} bytes; a manifest has room for "
            f"{MAX_EXPECTED_BYTES:,}: lower golden.samples"
        )
    return ExpectedAnswers(
        probabilities=tuple(tuple(row) for row in recorded),
        top1=tuple(int(top) for top in logits.argmax(1)),
        instruction_set=host().instruction_set,
    )


def _digits(probabilities: "NDArray[np.float64]") -> int:
    """How many decimals keep every top-1; a thousand classes lie close together."""
    top1 = probabilities.argmax(1)
    return next((d for d in range(4, 7) if (probabilities.round(d).argmax(1) == top1).all()), 7)
