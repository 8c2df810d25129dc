"""A whole search: scouts, the networks worth training, and the fewest bits they bear; each round from the last."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgefleet_compression.cache import Cache
from edgefleet_compression.recipe import Recipe
from edgefleet_compression.search import rounds, space
from edgefleet_compression.search.pareto import beaten_by, front
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.rounds import Means
from edgefleet_compression.search.run import Ground, Heard, measure_all
from edgefleet_compression.search.space import Tail, Trunk
from edgefleet_compression.signatures import SIGNATURES
from edgefleet_profiles.device_class import InstructionSet

TRUNKS = 3
QAT_EPOCHS, TUNE_EPOCHS = 4, 2
RESERVE_S = 30.0
"""What is kept of the budget for the last measurements."""


@dataclass(frozen=True)
class Found:
    """What a search found: by class the front, and every point that was tried, with its reason where it is out.

    `executions` counts, by step, what really ran: from the cache's ledger.
    """

    fronts: dict[InstructionSet, list[Point]]
    points: list[Point]
    executions: dict[str, int]
    seconds: float

    @property
    def trainings(self) -> int:
        """How many times a step that runs an optimizer really ran."""
        return sum(n for step, n in self.executions.items() if SIGNATURES[step].trains)

    def orders(self) -> dict[str, dict[InstructionSet, Point]]:
        """By order of techniques, the most accurate point of each class."""
        table: dict[str, dict[InstructionSet, Point]] = {}
        for point in self.points:
            row = table.setdefault(point.order, {})
            known = row.get(point.instruction_set)
            if point.metrics is not None and (known is None or _share(point) > _share(known)):
                row[point.instruction_set] = point
        return {order: row for order, row in table.items() if row}


class _Search:
    def __init__(self, ground: Ground, budget_s: float, workers: int, heard: Heard) -> None:
        self._ground = ground
        self._until_s = time.monotonic() + budget_s - RESERVE_S
        self._workers = workers
        self._heard = heard
        self._reference: Path | None = None
        self.points: list[Point] = []

    def run(self, trainable: bool) -> None:
        as_it_is, *rest = [space.recipe(space.SOURCE, tail) for tail in space.without_training()]
        self._measure([as_it_is])
        self._reference = self._ground.work_dir / f"{as_it_is.name}-{self._ground.classes[0]}" / "variant.onnx"
        if not self._reference.exists():
            return  # the source cannot be exported: nothing else can be made of it, and the point says why
        self._measure(rest)
        if trainable:
            trunks = self._scouted()
            self._measure(_recipes(trunks, space.without_training()))
            self._measure(_recipes(trunks, space.low_bits(QAT_EPOCHS, TUNE_EPOCHS)))

    def _scouted(self) -> list[Trunk]:
        """Train every network for a moment, and choose those to train in full."""
        plain, one = space.without_training()[0], self._ground.classes[0]
        trunks = rounds.scouts()
        by_digest = {space.recipe(trunk, plain).digest: trunk for trunk in trunks}
        found = self._measure(_recipes(trunks, [plain]))
        scouted = {by_digest[p.recipe.digest].name: p for p in found if p.instruction_set == one}
        chosen = rounds.worth_training(trunks, scouted, TRUNKS)
        passed = by_digest.keys() - {space.recipe(trunk, plain).digest for trunk in chosen}
        reason = f"stopped after {rounds.SCOUT_EPOCHS} epochs: other networks promise more"
        self.points = [
            replace(p, rejected=reason) if p.recipe.digest in passed and not p.rejected else p for p in self.points
        ]
        pace = {t.name: rounds.seconds_an_epoch(scouted[t.name], t) for t in trunks if t.name in scouted}
        left_s = max(0.0, self._until_s - time.monotonic())
        return rounds.in_full(chosen, pace, Means(self._workers, left_s))

    def _measure(self, recipes: Sequence[Recipe]) -> list[Point]:
        found = measure_all(recipes, self._ground, self._reference, self._until_s, self._heard)
        self.points += found
        return found


def search(ground: Ground, *, budget_s: float, trainable: bool, workers: int, heard: Heard) -> Found:
    """Look for variants until the budget is spent or nothing is left to try.

    Args:
        ground: model, classes, cache and workers.
        budget_s: seconds of wall time; what was begun is finished.
        trainable: whether the model came as a module with data to train by.
        workers: how many builds run side by side.
        heard: told of each point as it comes.
    """
    began_s, before = time.monotonic(), _ran(ground)
    found = _Search(ground, budget_s, workers, heard)
    found.run(trainable)
    fronts = {one: front([p for p in found.points if p.instruction_set == one]) for one in ground.classes}
    points = [_judged(p, fronts[p.instruction_set]) for p in found.points]
    return Found(fronts, points, dict(_ran(ground) - before), time.monotonic() - began_s)


def _recipes(trunks: Sequence[Trunk], tails: Sequence[Tail]) -> list[Recipe]:
    """Every pair, so that workers begin with different trunks and none waits for another's training."""
    return [space.recipe(trunk, tail) for tail in tails for trunk in trunks]


def _judged(point: Point, kept: Sequence[Point]) -> Point:
    if point.rejected is None and (better := beaten_by(point, kept)) is not None:
        return replace(point, rejected=f"beaten in everything by {better.recipe.name}")
    return point


def _ran(ground: Ground) -> Counter[str]:
    return Counter(str(line["step"]) for line in Cache(ground.cache_dir).ledger())


def _share(point: Point) -> float:
    metrics = point.metrics
    assert metrics is not None
    return metrics.accuracy_val if metrics.accuracy_val is not None else metrics.agreement_val or 0.0
