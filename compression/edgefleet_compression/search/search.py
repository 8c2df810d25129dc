"""A whole search: scouts, the networks worth training, and the fewest bits they bear; each round from the last."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from edgefleet_compression.builds.entry_points import teach
from edgefleet_compression.builds.messages import ModelFiles, SourceRequest
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import SearchError
from edgefleet_compression.models.data import samples_in
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.registry import registry
from edgefleet_compression.search import rounds, space
from edgefleet_compression.search.bounds import Bounds, BoundsVerdict, judge
from edgefleet_compression.search.pareto import beaten_by, front, smallest
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.quick_trials import (
    QuickLook,
    QuickLookRequest,
    Trial,
    effective,
    look,
    promising,
    steps_of,
)
from edgefleet_compression.search.rounds import Means, Planned
from edgefleet_compression.search.run import Ground, Runs, SearchListener, Silence
from edgefleet_compression.search.space import Space, default_space
from edgefleet_compression.search.targets import SearchTarget
from edgefleet_compression.search_roles import EXPORT, PLAIN, Tail, Trunk
from edgefleet_contract.card import CARD_FILE, ModelCard, load_card, parse_card
from edgefleet_profiles.device_class import InstructionSet

WORTH_PACKING = 64 * 1024
"""Bytes of an encoding beyond which packing saves next to none of them, and takes longest."""
SOURCE_SHARE = 0.10
"""Of the budget, for the source in other forms before anything is trained; what is left of them comes last."""
LOOK_SHARE = 0.02
"""Of the budget, for cheap looks at the ways to store one network."""
SCOUT, WHOLE, TAIL, LOW, PACK, LATER = 0.0, 1.0, 3.0, 3.2, 5.0, 6.0
"""Ranks: whole networks first; then what is sure and quick, before low bits; what is least likely to be chosen last."""


@dataclass(frozen=True)
class Ask:
    """What to look for: a model by its files, the device classes, minutes of wall time, and what must be met."""

    files: ModelFiles
    targets: tuple[SearchTarget, ...]
    budget_s: float
    seed: int = 0
    wanted: Bounds = field(default_factory=Bounds)
    space: Space = field(default_factory=default_space)


@dataclass(frozen=True)
class SearchFolders:
    """Where a search works: the cache is kept and makes the next one quick, `work` is this one's own."""

    cache: Path
    work: Path


@dataclass(frozen=True)
class Found:
    """What a search found: by class the front, and every point that was tried, with its reason where it is out.

    `executions` counts, by step, what really ran, from the cache's ledger; `steps` counts those of all builds.
    """

    ask: Ask
    fronts: dict[InstructionSet, list[Point]]
    points: list[Point]
    executions: dict[str, int]
    steps: int
    seconds: float
    verdicts: dict[InstructionSet, BoundsVerdict] = field(default_factory=dict)

    @property
    def trainings(self) -> int:
        """How many times a step that runs an optimizer really ran."""
        steps = registry().steps
        return sum(n for step, n in self.executions.items() if step in steps and steps[step].step.trains)

    @property
    def steps_cached(self) -> int:
        """How many steps of all builds came from the cache."""
        return max(0, self.steps - sum(self.executions.values()))

    def orders(self) -> dict[str, dict[InstructionSet, Point]]:
        """By order of techniques, the most accurate point of each class."""
        table: dict[str, dict[InstructionSet, Point]] = {}
        for point in self.points:
            row = table.setdefault(point.order, {})
            known = row.get(point.instruction_set)
            if point.quality is not None and (known is None or point.quality > (known.quality or 0.0)):
                row[point.instruction_set] = point
        return {order: row for order, row in table.items() if row}


def search(ask: Ask, place: SearchFolders, workers: WorkerPool, listener: SearchListener | None = None) -> Found:
    """Look for variants until the budget is spent or nothing is left to try.

    Whatever cannot be built is a rejected point with its reason. The same ask in the same place finds what ran before
    in the cache, also after a crash, and goes on from there.

    Args:
        ask: what to look for.
        place: where to work.
        workers: who builds, under their limits.
        listener: told of each point as it comes, and how far it is.

    Raises:
        SearchError: no class is asked for, or there is no time.
        CardError: the model's card cannot be read.
    """
    if not ask.targets or ask.budget_s <= 0:
        raise SearchError("a search needs a device class and a budget above 0 minutes: name both")
    place.work.mkdir(parents=True, exist_ok=True)
    classes = tuple(target.instruction_set for target in ask.targets)
    ground = Ground(ask.files, place.cache, place.work, workers, classes, ask.seed)
    cache = Cache(place.cache)
    before = len(cache.ledger())
    going = _Search(ask, ground, listener or Silence())
    going.run()
    fronts = {one: front([p for p in going.points if p.instruction_set == one]) for one in classes}
    points = [_judged(p, fronts[p.instruction_set]) for p in going.points]
    return Found(
        ask=ask,
        fronts=fronts,
        points=points,
        executions=dict(Counter(line.step for line in cache.ledger()[before:])),
        steps=_steps(points),
        seconds=going.elapsed_s,
        verdicts={one: judge(fronts[one], ask.wanted) for one in classes} if ask.wanted else {},
    )


def search_folder(
    folder: Path,
    state: Path,
    *,
    targets: tuple[SearchTarget, ...],
    budget_s: float,
    seed: int = 0,
    wanted: Bounds | None = None,
    space: Space | None = None,
    workers: int = 2,
    listener: SearchListener | None = None,
) -> Found:
    """The same for a model's folder, without a controller; `state` keeps cache and work.

    Args:
        folder: with a model.toml and the files that it names.
        state: made where it is missing; given again, it is gone on from.
        targets: the device classes.
        budget_s: seconds of wall time.
        seed: of training and of samplers.
        wanted: what must be met; None asks nothing.
        space: what may be tried; None is the default space.
        workers: builds side by side.
        listener: told how it goes.

    Raises:
        CardError: the folder holds no model, or files that are not what its card says.
        SearchError: no class is asked for, or there is no time.
    """
    card = load_card(folder)
    files = {name: folder / name for name in (CARD_FILE, *card.files)}
    pool = WorkerPool(workers)
    try:
        ask = Ask(files, targets, budget_s, seed, wanted or Bounds(), space or default_space())
        return search(ask, SearchFolders(state / "cache", state / "work"), pool, listener)
    finally:
        pool.shutdown(cancel_futures=True)


class _Search:
    def __init__(self, ask: Ask, ground: Ground, listener: SearchListener) -> None:
        self._ask = ask
        self._ground = ground
        self._runs = Runs(ground, ask.budget_s, listener)
        self._means = Means(ground.workers.count, ask.budget_s)
        card = parse_card(ask.files[CARD_FILE].read_text(encoding="utf-8"))
        self._card: ModelCard = card
        self._train_samples = samples_in(ask.files[card.data.file], "train")

    @property
    def points(self) -> list[Point]:
        return self._runs.points

    @property
    def elapsed_s(self) -> float:
        return self._ask.budget_s - self._runs.left_s

    def run(self) -> None:
        """Scouts and whole networks first; then the ways to store each network, and to train it to few bits."""
        runs = self._runs
        plain = space.recipe(space.SOURCE, PLAIN)
        runs.add(plain, SCOUT)
        if self._train_samples:
            asked = SourceRequest(self._ground.files, self._ground.cache_dir)
            runs.call("the source model's answers to train", SCOUT, teach, asked, lambda _: None)
        runs.run("the source model")
        runs.reference = next((p.built.onnx_path for p in self.points if p.built), None)
        runs.points = [_as_reference(p) for p in runs.points]
        if runs.reference is None:
            return  # the source cannot be exported: nothing else can be made of it, and the point says why
        self._tails(space.SOURCE, TAIL, LATER)
        share = 1.0 if not self._train_samples else SOURCE_SHARE
        runs.run("the source model in other forms", TAIL + 1, share * self._ask.budget_s)
        planned = self._planned() if self._train_samples else []
        for one in planned:
            runs.add(space.recipe(one.trunk, PLAIN), WHOLE, partial(self._trained, one))
        names = ", ".join(f"{one.trunk.name} for {one.trunk.epochs} epochs" for one in planned)
        training = f"training {names}, and what becomes of them" if planned else "the source model, to the last bit"
        runs.run(training, LOW + 1)
        self._pack()
        runs.run("the smallest, packed, and what is left to try")

    def _planned(self) -> list[Planned]:
        """Train every network for a moment, and choose those to train in full."""
        scouted = self._scouted()
        one = self._ground.classes[0]
        known = [(t, p) for t, p in scouted if p.instruction_set == one and p.rejected is None]
        epoch_s = {_whole_name(t): rounds.epoch_seconds(p, self._train_samples) for t, p in known}
        networks = {trunk.name: trunk for trunk in self._ask.space.networks}
        chosen = [networks[_whole_name(trunk)] for trunk in rounds.worth_training(known)]
        trained = len({trunk.name for trunk, _ in scouted})
        each = rounds.repeats(self._train_samples)
        planned = rounds.plan(chosen, epoch_s, self._means, trained, self._ask.space.low_bits, each)
        going_on = {p.trunk.name for p in planned}
        reasons = {space.recipe(t, PLAIN).digest: _why_stopped(t, _whole_name(t) in going_on) for t, _ in known}
        self._runs.points = [
            replace(p, rejected=reasons[p.recipe.digest]) if p.recipe.digest in reasons and not p.rejected else p
            for p in self.points
        ]
        return planned

    def _scouted(self) -> list[tuple[Trunk, Point]]:
        """The networks that were trained for a moment, as many as the scouts' share of the time allows."""
        found: list[tuple[Trunk, Point]] = []
        took_s: dict[str, float] = {}
        waiting = [t for t in rounds.scouts(self._ask.space.networks, self._train_samples) if self._applies(t)]
        while waiting and rounds.may_scout_on(list(took_s.values()), self._means):
            for trunk in waiting[: self._means.workers]:

                def done(points: list[Point], trunk: Trunk = trunk) -> None:
                    found.extend((trunk, point) for point in points)
                    took_s[trunk.name] = rounds.training_seconds(points[0])

                self._runs.add(space.recipe(trunk, PLAIN), SCOUT, done)
            del waiting[: self._means.workers]
            self._runs.run("scouts: every network for a moment", SCOUT)
        return found

    def _trained(self, planned: Planned, points: list[Point]) -> None:
        """A network is there whole: now its weights are made small."""
        if points[0].metrics is None:
            return
        for tail in planned.low_bits:
            self._runs.add(space.recipe(planned.trunk, tail), LOW)
        self._tails(planned.trunk, TAIL, LATER)

    def _tails(self, trunk: Trunk, rank: float, later: float) -> None:
        """Ask for every way to store a network: the fixed ones, and those that a cheap look finds promising."""
        for tail in self._ask.space.tails:
            if self._applies(trunk, tail):
                self._runs.add(space.recipe(trunk, tail), rank + int(tail.rank) if tail.rank < 2 else later)
        request = QuickLookRequest(
            files=self._ground.files,
            recipe=space.recipe(trunk, PLAIN),
            cache_dir=self._ground.cache_dir,
            work_dir=self._ground.work_dir / f"look-{trunk.name}",
            seed=self._ask.seed,
            most_trials=self._ask.space.trials,
            most_s=LOOK_SHARE * self._ask.budget_s * self._means.workers,
        )
        self._runs.call(f"look at {trunk.name}", rank, look, request, partial(self._looked, trunk))

    def _looked(self, trunk: Trunk, found: QuickLook) -> None:
        """Measure what a cheap look found promising; the others are out for what it saw."""
        kept, reasons = promising(found.trials)
        for trial in kept:
            self._runs.add(space.recipe(trunk, _tail(trial)), TAIL)
        for index, reason in reasons.items():
            self._runs.reject(space.recipe(trunk, _tail(found.trials[index])), self._ground.classes, reason)

    def _pack(self) -> None:
        """Ask for the small files that nothing beats in another layout, whose bytes may be fewer and figures stay."""
        one = self._ground.classes[0]
        for point in smallest([p for p in self.points if p.instruction_set == one]):
            if space.is_stored(point.recipe) and point.metrics and (point.metrics.encoding_bytes or 0) <= WORTH_PACKING:
                self._runs.add(space.packed(point.recipe), PACK)

    def _applies(self, trunk: Trunk, tail: Tail = PLAIN) -> bool:
        recipe: Recipe = space.recipe(trunk, tail)
        return recipe.refusal(self._card.source, self._train_samples > 0) is None


def _tail(trial: Trial) -> Tail:
    setting = effective(trial.setting)
    name = "-".join(f"{_SHORT[knob]}{value:g}".replace(".", "_") for knob, value in setting.items() if value)
    said = ", ".join(f"{knob} {value:g}" for knob, value in setting.items() if value)
    return Tail(f"t-{name}", f"stored with {said}", (EXPORT, *steps_of(setting)))


_SHORT = {
    "stem": "s",
    "dense": "d",
    "depthwise": "w",
    "pointwise": "p",
    "linear": "l",
    "mean_bits": "m",
    "sparsity": "z",
}


def _whole_name(scout: Trunk) -> str:
    return scout.name.removesuffix("-scout")


def _why_stopped(scout: Trunk, goes_on: bool) -> str:
    """Why a scout is no variant."""
    why = "it is trained in full instead" if goes_on else "other networks promise more"
    return f"stopped after {scout.epochs} epochs: {why}"


def _judged(point: Point, kept: Sequence[Point]) -> Point:
    if point.rejected is None and (better := beaten_by(point, kept)) is not None:
        return replace(point, rejected=f"beaten in everything by {better.recipe.name}")
    return point


def _as_reference(point: Point) -> Point:
    """The source's own fp32 file, which every latency is compared with."""
    known = point.metrics and point.metrics.model_copy(update={"latency_ratio": 1.0})
    return replace(point, metrics=known)


def _steps(points: Sequence[Point]) -> int:
    """The steps of all builds, each build counted once whatever classes it served."""
    builds = {id(point.built): len(point.steps) for point in points if point.built is not None}
    return sum(builds.values())
