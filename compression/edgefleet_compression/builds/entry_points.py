"""The entry points that run in a worker process: plain values in, plain values out, no exception ever.

Importing this module is cheap; torch, onnx and onnxruntime are imported by the functions, in the worker.
"""

import io
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edgefleet_compression.builds.progress import BuildProgress
from edgefleet_compression.builds.worker_main import one_thread
from edgefleet_compression.errors import CardError, CompressionError, DataError, is_full_disk
from edgefleet_compression.measuring.metrics import Metrics
from edgefleet_compression.models.card import CARD_FILE, check_files, parse_card
from edgefleet_compression.recipes.recipe import Recipe, recipe_from
from edgefleet_compression.recipes.schemes import NO_SCHEME, scheme_for
from edgefleet_profiles.device_class import InstructionSet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgefleet_compression.builds.recipe_runner import StepReport
    from edgefleet_compression.models.source import Source

Outcome = dict[str, Any]
VARIANT = "variant.onnx"
TRAINING_WEIGHT = 2.0
MAX_GOLDEN_BYTES = 2**20
MAX_EXPECTED_BYTES = 96 * 1024
"""Recorded answers stand in the manifest, of which agents take 128 KB."""


class BuildRequest(BaseModel):
    """One variant to build.

    `files` maps a name in the model's folder (model.toml among them) to where that content lies. `work_dir` is
    this build's own; `cache_dir` is shared. `progress_path` is rewritten as the build goes on.
    `reference` is the source's fp32 ONNX file, which latency is compared with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, str]
    recipe: dict[str, Any]
    instruction_set: InstructionSet
    cache_dir: str
    work_dir: str
    progress_path: str | None = None
    reference: str | None = None
    seed: int = 0


def build_variant(request: dict[str, Any]) -> Outcome:
    """Build and measure one variant.

    Returns:
        {"ok": True, "onnx_path", "runtime", "metrics", "expected", "unfolded_bytes", "steps", "scheme",
        "lineage"}, or
        {"ok": False, "error": one line: what was wrong, and what to do}.
    """
    try:
        asked = BuildRequest.model_validate(request)
        recipe = recipe_from(asked.recipe)
        return _built(asked, recipe)
    except Exception as error:  # the pool would break on an exception that cannot be unpickled
        return _failure(error)


def source_metrics(files: dict[str, str], cache_dir: str) -> Outcome:
    """The source model's own accuracy: {"ok": True, "metrics": Metrics as JSON} or {"ok": False, "error"}."""
    try:
        one_thread()
        from edgefleet_compression.cache import Cache
        from edgefleet_compression.measuring.measure import accuracies
        from edgefleet_compression.models.source import open_source

        source = open_source({name: Path(path) for name, path in files.items()}, Cache(Path(cache_dir)))
        metrics = Metrics(
            **accuracies(source.logits("val").argmax(1), source.logits("test").argmax(1), source.data),
            agreement_val=1.0,
            agreement=1.0,
            parameters=source.state.parameters(),
        )
        return {"ok": True, "metrics": metrics.model_dump(mode="json")}
    except Exception as error:
        return _failure(error)


def teach(request: dict[str, Any]) -> Outcome:
    """Have the source model answer all samples of train, as they are and mirrored; for {files, cache_dir}.

    Every student learns by these answers: asked for beforehand, they are in nobody's training time.
    """
    try:
        one_thread()
        from edgefleet_compression.cache import Cache
        from edgefleet_compression.models.source import open_source

        source = open_source(
            {name: Path(path) for name, path in request["files"].items()}, Cache(Path(request["cache_dir"]))
        )
        for mirrored in (False, True):
            source.logits("train", mirrored)
        return {"ok": True}
    except Exception as error:
        return _failure(error)


def make_golden(files: dict[str, str]) -> bytes:
    """The golden set of a model: an npz of `inputs` [M, *shape] and, where known, `labels` int64 [M], the first of val.

    The same files give the same bytes. Imports numpy, not torch.

    Raises:
        CardError: model.toml or a file it names is missing or wrong.
        DataError: there is no val split, or a device would not take what is asked of it.
    """
    import numpy as np

    from edgefleet_compression.models.data import open_data

    paths = {name: Path(path) for name, path in files.items()}
    if CARD_FILE not in paths:
        raise CardError(f"no {CARD_FILE} is given: register the model's folder again")
    card = parse_card(paths[CARD_FILE].read_text(encoding="utf-8"))
    check_files(card, paths)
    golden = open_data(paths[card.data.file], card).split("val")
    if len(golden.x) < card.golden.samples:
        raise DataError(
            f"val holds {len(golden.x)} samples, golden asks for {card.golden.samples}: lower golden.samples"
        )
    golden = golden.first(card.golden.samples)
    buffer = io.BytesIO()
    if golden.y is None:
        np.savez_compressed(buffer, inputs=golden.x)
    else:
        np.savez_compressed(buffer, inputs=golden.x, labels=golden.y)
    if buffer.tell() > MAX_GOLDEN_BYTES:
        raise DataError(
            f"the golden set of {len(golden.x)} samples has {buffer.tell():,} bytes, devices take at most "
            f"{MAX_GOLDEN_BYTES:,}: lower golden.samples"
        )
    return buffer.getvalue()


def _built(asked: BuildRequest, recipe: Recipe) -> Outcome:
    started = time.monotonic()
    scheme = scheme_for(asked.instruction_set)
    if "scheme" in recipe.needs and scheme is None:
        raise CompressionError(f"recipe '{recipe.name}': {NO_SCHEME[asked.instruction_set]}")
    progress = _progress(asked, recipe)
    progress.at(0, recipe.steps[0].step, 0.0, "starting")
    one_thread()
    from edgefleet_compression.builds.lineage import record
    from edgefleet_compression.builds.recipe_runner import Workbench, run_recipe
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.measuring.measure import measured
    from edgefleet_compression.models.source import open_source
    from edgefleet_compression.onnx_graphs.graph import unfolded_bytes

    work_dir = Path(asked.work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    cache = Cache(Path(asked.cache_dir))
    source = open_source({name: Path(path) for name, path in asked.files.items()}, cache)
    made, reports = run_recipe(recipe, Workbench(source, scheme, asked.seed, cache, work_dir), progress.at)
    path = Path(shutil.copyfile(made, work_dir / VARIANT))
    build_s = round(time.monotonic() - started, 2)
    last = len(recipe.steps)
    progress.at(last, "measure", 0.0, "measuring")
    runtime: dict[str, str] = {}
    metrics = measured(path, source, runtime, _parameters(reports), build_s, _path(asked.reference))
    expected = _expected(path, source, runtime)
    progress.at(last, "measure", 1.0, "done")
    return {
        "ok": True,
        "onnx_path": str(path),
        "runtime": runtime,
        "metrics": metrics.model_dump(mode="json"),
        "expected": expected,
        "unfolded_bytes": unfolded_bytes(path),
        "steps": [report.as_dict() for report in reports],
        "scheme": scheme.as_dict() if scheme is not None and "scheme" in recipe.needs else None,
        "lineage": record(source, recipe, asked.seed, asked.instruction_set).model_dump(mode="json"),
    }


def weights_of(recipe: Recipe) -> list[float]:
    """How long each step of a recipe is likely to take beside the others, measuring last; in no unit."""
    return [*(1.0 + TRAINING_WEIGHT * getattr(spec.settings(), "epochs", 0) for spec in recipe.steps), 1.0]


def _progress(asked: BuildRequest, recipe: Recipe) -> BuildProgress:
    return BuildProgress(_path(asked.progress_path), recipe.name, weights_of(recipe))


def _parameters(reports: "list[StepReport]") -> int | None:
    counts = [report.log["parameters"] for report in reports if "parameters" in report.log]
    return counts[-1] if counts else None


def _expected(path: Path, source: "Source", runtime: dict[str, str]) -> dict[str, Any]:
    """What the variant answers to the golden set on this host, one sample at a time as on a device."""
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
            f"the answers to {len(golden.x)} golden samples take {size:,} bytes of a manifest, at most "
            f"{MAX_EXPECTED_BYTES:,} are free: lower golden.samples"
        )
    return {
        "probabilities": recorded,
        "top1": [int(top) for top in logits.argmax(1)],
        "instruction_set": host()[1],
    }


def _digits(probabilities: "NDArray[np.float64]") -> int:
    """How many decimals keep every top-1: a thousand classes are close together."""
    top1 = probabilities.argmax(1)
    return next((d for d in range(4, 7) if (probabilities.round(d).argmax(1) == top1).all()), 7)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _failure(error: Exception) -> Outcome:
    if isinstance(error, CompressionError):
        reason = str(error)
    elif isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"the build request's {where} is wrong ({first['msg']}): correct the caller"
    elif is_full_disk(error):
        reason = "the disk is full: make room for the controller's state folder, then compress again"
    else:
        reason = f"unexpected {type(error).__name__} ({error}): report it with the recipe and the model card"
    return {"ok": False, "error": " ".join(reason.split())}
