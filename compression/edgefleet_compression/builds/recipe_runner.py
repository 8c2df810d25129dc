"""Runs the steps of a recipe, taking from the cache what ran before with the same inputs."""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from edgefleet_compression.builds.progress import FROM_CACHE
from edgefleet_compression.cache import Cache, LedgerLine, step_key
from edgefleet_compression.errors import CompressionError, NotApplicable, NothingChanged, StepError, is_full_disk
from edgefleet_compression.measuring.host import host
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.states import OnnxState, SourceState, State, TorchState, load_state
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.registry import RegisteredStep, registry
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.search_roles import StepSpec
from edgefleet_compression.step import Context, StepConfig, StepResult
from edgefleet_contract.variants import StepReport

LOG = "log.json"
StepProgress = Callable[[int, str, float, str], None]


@dataclass(frozen=True)
class Workbench:
    """What a recipe runs with; steps write below `work_dir`."""

    source: Source
    scheme: Scheme | None
    seed: int
    cache: Cache
    work_dir: Path


def run_recipe(recipe: Recipe, bench: Workbench, progress: StepProgress) -> tuple[Path, list[StepReport]]:
    """Run every step that isn't cached.

    Args:
        recipe: what to run.
        bench: what to run it with.
        progress: called with a step's index and name, the share done (0 to 1) and a short text.

    Returns:
        The ONNX file, inside the cache, and a report of each step.

    Raises:
        NotApplicable: the recipe doesn't fit how the source model came.
    """
    source = bench.source
    if (reason := recipe.refusal(source.card.source, source.data.has("train"), source.ways)) is not None:
        raise NotApplicable(reason)
    state: State | SourceState = bench.source.state
    reports = []
    for index, spec in enumerate(recipe.steps):
        progress(index, spec.step, 0.0, "starting")
        state, report = _run_step(spec, state, bench, partial(progress, index, spec.step))
        reports.append(report)
        progress(index, spec.step, 1.0, FROM_CACHE if report.cached else "done")
    assert isinstance(state, OnnxState)  # recipes that end otherwise are refused on reading
    return state.path, reports


def _run_step(
    spec: StepSpec, state: State | SourceState, bench: Workbench, progress: Callable[[float, str], None]
) -> tuple[State, StepReport]:
    found, settings = registry().named(spec.step), registry().settings(spec)
    config = settings.model_dump(mode="json")
    if "scheme" in found.step.needs and bench.scheme is not None:
        config["scheme"] = bench.scheme.as_dict()
    key = step_key(
        input_digest=state.digest(),
        step=spec.step,
        revision=found.step.revision,
        config=config,
        data_digest=bench.source.card.data.sha256,
        source_digest=bench.source.digest,
        seed=bench.seed,
        plugin=None if found.plugin is None else asdict(found.plugin),
    )

    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=f"{spec.step}-", dir=bench.work_dir) as own:
            context = Context(bench.source, bench.scheme, bench.seed, Path(own), progress)
            began = time.monotonic()
            result = _ran(found, state, settings, context)
            result.state.save(folder)
            log = {**result.log, "took_s": round(time.monotonic() - began, 3), "made_on": host().processor}
            (folder / LOG).write_text(json.dumps(log), encoding="utf-8")

    started = time.monotonic()
    folder, cached = bench.cache.get_or_put(key, fill, lambda: progress(0.0, "another worker runs this step"))
    seconds = round(time.monotonic() - started, 3)
    if not cached:
        bench.cache.note(LedgerLine(spec.step, key, seconds))
    made = load_state(folder)
    return made, StepReport(
        step=spec.step,
        config=config,
        cached=cached,
        seconds=seconds,
        log=json.loads((folder / LOG).read_text(encoding="utf-8")),
        revision=found.step.revision,
        digest=made.digest(),
    )


def _ran(found: RegisteredStep, state: State | SourceState, settings: StepConfig, context: Context) -> StepResult:
    """Run a step; a plug-in's is held to its declaration, and named when it fails.

    Raises:
        CompressionError: the step refused or failed.
    """
    if found.plugin is None:
        return found.run(state, settings, context)
    name = f"step '{found.step.name}' of plug-in {found.plugin}"
    try:
        result = found.run(state, settings, context)
        json.dumps(dict(result.log))
        unchanged = result.state.digest() == state.digest()
    except CompressionError:
        raise
    except Exception as error:
        if is_full_disk(error):
            raise
        raise StepError(f"{name} failed ({type(error).__name__}: {error}): report it to those who make it") from error
    if unchanged:
        raise NothingChanged(f"{name} left the model as it was: drop the step")
    to_module = found.step.produces == "torch" or (found.step.produces is None and isinstance(state, TorchState))
    if not isinstance(result.state, TorchState if to_module else OnnxState):
        raise StepError(f"{name} returned another kind of state than it declares: report it to those who make it")
    return result
