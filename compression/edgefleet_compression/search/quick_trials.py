"""Quick trials of ways to store a network, in a worker: on a few samples, and without timing."""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgefleet_compression.builds.messages import ModelFiles
from edgefleet_compression.builds.refusals import refusing
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.registry import registry
from edgefleet_compression.search.storage_settings import Scores, SettingsMenu, StorageSetting, explore, menu_for
from edgefleet_compression.search_roles import StepSpec
from edgefleet_protocol.canonical import digest_of

if TYPE_CHECKING:
    from edgefleet_compression.builds.recipe_runner import Workbench
    from edgefleet_compression.step import Log

TRIALS = "trials.json"
REVISION = 1
SAMPLES = 64
LEAST_AGREEMENT = 0.9
"""A setting must answer this share of the samples as the network in fp32 does."""
PROMISING = 4


@dataclass(frozen=True)
class Trial:
    """A setting that was tried: bytes of the encoding, SQNR and agreement against the network in fp32."""

    setting: dict[str, float]
    encoding_bytes: int
    sqnr_db: float
    agreement: float

    @property
    def scores(self) -> Scores:
        """What to minimize."""
        return float(self.encoding_bytes), -self.sqnr_db


@dataclass(frozen=True)
class QuickLookRequest:
    """Asks to try ways of storing a network, that of a recipe ending in `export`, within `most_trials` and `most_s`."""

    files: ModelFiles
    recipe: Recipe
    cache_dir: Path
    work_dir: Path
    seed: int
    most_trials: int
    most_s: float


class QuickLook(BaseModel):
    """The trials, out of `size` settings; cached as JSON."""

    model_config = ConfigDict(frozen=True)

    trials: list[Trial]
    size: int


def steps_of(setting: StorageSetting) -> tuple[StepSpec, ...]:
    """The steps for a setting."""
    sparsity, mean_bits = setting.get("sparsity", 0.0), setting.get("mean_bits", 0.0)
    bits: dict[str, int | float] = {k: int(v) for k, v in setting.items() if k not in ("sparsity", "mean_bits")}
    if mean_bits:
        bits["mean_bits"] = mean_bits
    stored = StepSpec(step="storage_quant", config=bits)
    if not sparsity:
        return (stored,)
    return StepSpec(step="prune_unstructured", config={"sparsity": sparsity}), stored


def key_of(setting: StorageSetting) -> tuple[str, ...]:
    """Identifies the steps of a setting; with bits by sensitivity, those by kind don't count."""
    return tuple(spec.model_dump_json() for spec in steps_of(effective(setting)))


def effective(setting: StorageSetting) -> dict[str, float]:
    """The setting without knobs that have no effect."""
    if setting.get("mean_bits"):
        return {name: value for name, value in setting.items() if name in ("mean_bits", "sparsity")}
    return dict(setting)


def promising(trials: Sequence[Trial], most: int = PROMISING) -> tuple[list[Trial], dict[int, str]]:
    """The trials worth measuring, and the reason against each other one, by index.

    A trial is worth it if it agrees well and no other beats it in both bytes and SQNR; of many, a spread by size.
    """
    reasons: dict[int, str] = {}
    front: list[int] = []
    for index, trial in enumerate(trials):
        seen = f"{trial.agreement:.0%} agreement with fp32 on {SAMPLES} samples, {trial.sqnr_db:.1f} dB"
        if trial.agreement < LEAST_AGREEMENT:
            reasons[index] = f"stopped early: {seen}"
        elif any(_beats(other, trial) for other in trials if other.agreement >= LEAST_AGREEMENT):
            reasons[index] = f"stopped early: {seen}; another of {trial.encoding_bytes:,} bytes or fewer is nearer"
        else:
            front.append(index)
    front.sort(key=lambda index: trials[index].encoding_bytes)
    places = {round(i * (len(front) - 1) / (most - 1)) for i in range(most)} if len(front) > most else range(len(front))
    kept = {front[place] for place in places}
    reasons |= {i: "stopped early: others as good are measured in its place" for i in front if i not in kept}
    return [trials[index] for index in sorted(kept)], reasons


def _beats(one: Trial, other: Trial) -> bool:
    no_worse = all(a <= b for a, b in zip(one.scores, other.scores, strict=True))
    return no_worse and one.scores != other.scores


@refusing
def look(request: QuickLookRequest) -> QuickLook:
    """Try ways to store the network of a recipe."""
    from edgefleet_compression.builds.recipe_runner import Workbench, run_recipe
    from edgefleet_compression.builds.worker_main import one_thread
    from edgefleet_compression.cache import Cache, library_versions
    from edgefleet_compression.models.source_files import open_source

    one_thread()
    request.work_dir.mkdir(parents=True, exist_ok=True)
    cache = Cache(request.cache_dir)
    source = open_source(request.files, cache)
    bench = Workbench(source, None, request.seed, cache, request.work_dir)
    plain, _ = run_recipe(request.recipe, bench, lambda *_: None)
    key = digest_of(
        {
            "look": REVISION,
            "file": hashlib.sha256(plain.read_bytes()).hexdigest(),
            "data": source.card.data.sha256,
            "asked": [request.seed, request.most_trials, request.most_s],
            "libraries": library_versions(),
        }
    )

    def fill(folder: Path) -> None:
        network = _Network(plain, bench)
        menu = menu_for(network.kinds())
        found = QuickLook(trials=_trials(menu, network, request), size=menu.size)
        (folder / TRIALS).write_text(found.model_dump_json(), encoding="utf-8")

    folder, _ = cache.get_or_put(key, fill)  # cached however far it got, so that the next look finds the same
    shutil.rmtree(request.work_dir, ignore_errors=True)
    return QuickLook.model_validate_json((folder / TRIALS).read_bytes())


def _trials(menu: SettingsMenu, network: "_Network", request: QuickLookRequest) -> list[Trial]:
    until_s = time.monotonic() + request.most_s
    found: dict[tuple[str, ...], Trial] = {}

    def score(setting: StorageSetting) -> Scores | None:
        if time.monotonic() > until_s:
            return None
        key = key_of(setting)
        if key not in found:
            found[key] = network.trial(effective(setting))
        return found[key].scores

    explore(menu, request.most_trials, request.seed, score)
    return list(found.values())


class _Network:
    """The network in fp32, and its answers to the samples."""

    def __init__(self, plain: Path, bench: "Workbench") -> None:
        from edgefleet_compression.onnx_graphs.session import GraphSession

        self._asked = bench.source.asked("val", SAMPLES)
        self._answers = GraphSession(plain).answered(self._asked)
        self._plain, self._bench = plain, bench

    def kinds(self) -> set[str]:
        """The kinds of layers whose weights can be stored."""
        with tempfile.TemporaryDirectory(dir=self._bench.work_dir) as folder:
            _, log = self._run(steps_of({}), Path(folder))
        return set(log["layers"])

    def trial(self, setting: dict[str, float]) -> Trial:
        """Store the network with a setting, and compare its answers."""
        from edgefleet_compression.measuring.measure import encoded_bytes
        from edgefleet_compression.onnx_graphs.answers import nearness
        from edgefleet_compression.onnx_graphs.session import GraphSession

        with tempfile.TemporaryDirectory(dir=self._bench.work_dir) as folder:
            path, _ = self._run(steps_of(setting), Path(folder))
            near = nearness(self._answers, GraphSession(path).answered(self._asked), self._bench.source.judge)
            return Trial(setting, encoded_bytes(path), round(near.sqnr_db, 2), round(near.agreement, 4))

    def _run(self, steps: Sequence[StepSpec], folder: Path) -> tuple[Path, "Log"]:
        from edgefleet_compression.models.states import OnnxState
        from edgefleet_compression.step import Context

        path, log = self._plain, {}
        for number, spec in enumerate(steps):
            own = folder / str(number)
            own.mkdir()
            context = Context(self._bench.source, None, self._bench.seed, own, lambda share, text: None)
            result = registry().named(spec.step).run(OnnxState(path), registry().settings(spec), context)
            assert isinstance(result.state, OnnxState)
            path, log = result.state.path, dict(result.log)
        return path, log
