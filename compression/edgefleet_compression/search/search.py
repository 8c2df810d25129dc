"""A whole search in rounds: scouts, full training of the best networks, and the fewest bits they bear."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from edgefleet_compression.builds.entry_points import teach
from edgefleet_compression.builds.messages import ModelFiles, SourceRequest
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.builds.worker_team import Workers
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import SearchError
from edgefleet_compression.models.splits.data import samples_in
from edgefleet_compression.models.ways import ANY_WAY, Ways, training_ways
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
from edgefleet_compression.search_roles import AS_BROUGHT, EXPORT, PLAIN, Tail, Trunk
from edgefleet_contract.card import CARD_FILE, ModelCard, load_card, parse_card
from edgefleet_profiles.device_class import InstructionSet
from edgefleet_protocol.features import FIRST_TASK

WORTH_PACKING = 64 * 1024
"""Packing a larger encoding saves next to nothing and takes longest."""
SOURCE_SHARE = 0.10
"""Share of the budget for storing the source in other ways before training; what is left over comes last."""
LOOK_SHARE = 0.02
"""Share of the budget for quick trials of storing one network."""
SCOUT, WHOLE, TAIL, LOW, PACK, LATER = 0.0, 1.0, 3.0, 3.2, 5.0, 6.0
"""Ranks: full training first, then what is sure and quick, then low bits; what is least likely chosen comes last."""


@dataclass(frozen=True)
class Ask:
    """What to search for: a model's files, device classes, seconds of wall time, and bounds to meet.

    `ways` is what may be made of the model, as far as that is known.
    """

    files: ModelFiles
    targets: tuple[SearchTarget, ...]
    budget_s: float
    seed: int = 0
    wanted: Bounds = field(default_factory=Bounds)
    space: Space = field(default_factory=default_space)
    ways: Ways = ANY_WAY


@dataclass(frozen=True)
class SearchFolders:
    """The folders of a search: the cache outlives it and speeds up the next one, `work` is scratch space."""

    cache: Path
    work: Path


@dataclass(frozen=True)
class Found:
    """The front of each class, and every point tried, with a reason if it is rejected.

    `executions` counts the steps that really ran, by name, from the cache's ledger; `steps` counts those of all builds.
    `left_out` names the networks that cannot be made of this model and its data, with the reason.
    """

    ask: Ask
    fronts: dict[InstructionSet, list[Point]]
    points: list[Point]
    executions: dict[str, int]
    steps: int
    seconds: float
    verdicts: dict[InstructionSet, BoundsVerdict] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def trainings(self) -> int:
        """How many training steps really ran."""
        steps = registry().steps
        return sum(n for step, n in self.executions.items() if step in steps and steps[step].step.trains)

    @property
    def steps_cached(self) -> int:
        """How many steps came from the cache."""
        return max(0, self.steps - sum(self.executions.values()))

    def orders(self) -> dict[str, dict[InstructionSet, Point]]:
        """The best point of each class, by order of techniques."""
        table: dict[str, dict[InstructionSet, Point]] = {}
        for point in self.points:
            row = table.setdefault(point.order, {})
            known = row.get(point.instruction_set)
            if point.quality is not None and (known is None or point.quality > (known.quality or 0.0)):
                row[point.instruction_set] = point
        return {order: row for order, row in table.items() if row}


def search(ask: Ask, place: SearchFolders, workers: Workers, listener: SearchListener | None = None) -> Found:
    """Search variants until the budget is spent or nothing is left to try.

    What cannot be built becomes a rejected point. The same search in the same folders finds finished steps in the
    cache, even after a crash, and continues.

    Args:
        ask: what to search for.
        place: where to work.
        workers: that build, under their limits.
        listener: hears of each point and of progress.

    Raises:
        SearchError: there is no class or no time.
        CardError: the model's card cannot be read.
    """
    if not ask.targets or ask.budget_s <= 0:
        raise SearchError("a search needs a device class and a budget above 0 minutes: give both")
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
        left_out=going.left_out,
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
    """Search variants of the model in a folder, without a controller.

    Args:
        folder: with a model.toml and the files that it names.
        state: for cache and work, created if missing; given again, the search continues.
        targets: the device classes.
        budget_s: seconds of wall time.
        seed: of training and sampling.
        wanted: the bounds to meet.
        space: what may be tried; None means the default space.
        workers: how many builds run side by side.
        listener: hears of each point and of progress.

    Raises:
        CardError: the folder holds no model, or its files are not those of the card.
        SearchError: there is no class or no time.
    """
    card = load_card(folder)
    files = {name: folder / name for name in (CARD_FILE, *card.files)}
    pool = WorkerPool(workers)
    try:
        ways = training_ways(card.task or FIRST_TASK, max(1, len(card.described)))
        ask = Ask(files, targets, budget_s, seed, wanted or Bounds(), space or default_space(), ways)
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
        self.left_out = space.left_out(ask.space, card.source, train=self._train_samples > 0, ways=ask.ways)
        self._trains = self.left_out.keys() < {trunk.name for trunk in ask.space.networks}

    @property
    def points(self) -> list[Point]:
        return self._runs.points

    @property
    def elapsed_s(self) -> float:
        return self._ask.budget_s - self._runs.left_s

    def run(self) -> None:
        """Scouts and full training first; then ways to store each network, and to train it to low bits."""
        runs = self._runs
        plain = space.recipe(space.SOURCE, PLAIN)
        runs.add(plain, SCOUT)
        if self._trains:
            asked = SourceRequest(self._ground.files, self._ground.cache_dir)
            runs.call("the source model's answers to train", SCOUT, teach, asked, lambda _: None)
        runs.run("the source model")
        whole = any(p.built for p in self.points if p.recipe.digest == plain.digest)
        if self._card.source == "brought":
            runs.add(space.recipe(space.SOURCE, AS_BROUGHT), TAIL + 1 if whole else SCOUT)
        if not whole:  # nothing else can be made of a source that cannot be exported; its point says why
            runs.run("the file as it was brought, if it was")
            return
        self._tails(space.SOURCE, TAIL, LATER)
        share = SOURCE_SHARE if self._trains else 1.0
        runs.run("the source model in other forms", TAIL + 1, share * self._ask.budget_s)
        planned = self._planned() if self._trains else []
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
        """Train networks for a moment, as many as the scouts' share of the time allows."""
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
        """Ask for ways to shrink a network that is trained in full."""
        if points[0].metrics is None:
            return
        for tail in planned.low_bits:
            self._runs.add(space.recipe(planned.trunk, tail), LOW)
        self._tails(planned.trunk, TAIL, LATER)

    def _tails(self, trunk: Trunk, rank: float, later: float) -> None:
        """Ask for every way to store a network: the fixed ones, and those that quick trials find promising."""
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
        """Measure the promising trials, and reject the others for what the trials showed."""
        kept, reasons = promising(found.trials)
        for trial in kept:
            self._runs.add(space.recipe(trunk, _tail(trial)), TAIL)
        for index, reason in reasons.items():
            self._runs.reject(space.recipe(trunk, _tail(found.trials[index])), self._ground.classes, reason)

    def _pack(self) -> None:
        """Ask for the best small files in another layout, which may take fewer bytes with the same figures."""
        one = self._ground.classes[0]
        for point in smallest([p for p in self.points if p.instruction_set == one]):
            if space.is_stored(point.recipe) and point.metrics and (point.metrics.encoding_bytes or 0) <= WORTH_PACKING:
                self._runs.add(space.packed(point.recipe), PACK)

    def _applies(self, trunk: Trunk, tail: Tail = PLAIN) -> bool:
        recipe: Recipe = space.recipe(trunk, tail)
        return recipe.refusal(self._card.source, self._train_samples > 0, self._ask.ways) is None


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
    "recurrent": "r",
    "table": "t",
    "mean_bits": "m",
    "sparsity": "z",
}


def _whole_name(scout: Trunk) -> str:
    return scout.name.removesuffix("-scout")


def _why_stopped(scout: Trunk, goes_on: bool) -> str:
    """Why a scout is rejected."""
    why = "it is trained in full instead" if goes_on else "other networks promise more"
    return f"stopped after {scout.epochs} epochs: {why}"


def _judged(point: Point, kept: Sequence[Point]) -> Point:
    if point.rejected is None and (better := beaten_by(point, kept)) is not None:
        return replace(point, rejected=f"beaten in everything by {better.recipe.name}")
    return point


def _steps(points: Sequence[Point]) -> int:
    """The number of steps of all builds; a build for several classes counts once."""
    builds = {id(point.built): len(point.steps) for point in points if point.built is not None}
    return sum(builds.values())
