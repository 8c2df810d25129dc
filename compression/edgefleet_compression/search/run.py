"""Carry a search out: recipes go to workers, the most urgent first, and what they measured comes back as points."""

import heapq
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.worker_pool import Limits, WorkerPool
from edgefleet_compression.errors import WorkerLostError
from edgefleet_compression.measuring.metrics import Metrics
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.recipes.schemes import NO_SCHEME, scheme_for
from edgefleet_compression.search.points import Point
from edgefleet_profiles.device_class import InstructionSet

POLL_S = 0.3
SHORTEST_S = 1.0
OUT_OF_TIME = "out of time: the budget ended before it was begun"
STOPPED = "out of time: the budget ended while it was built; what was finished of it is in the cache"

Done = Callable[[list[Point]], None]


@dataclass(frozen=True)
class SearchStatus:
    """How far a search is: what it is at, seconds since it began and until it ends at the latest, builds and points.

    `running` has {recipe, fraction, text} for each build under way.
    """

    phase: str
    elapsed_s: float
    left_s: float
    measured: int
    rejected: int
    waiting: int
    running: list[dict[str, Any]]


class SearchListener(Protocol):
    """Who wants to know how a search goes."""

    def point(self, point: Point) -> None:
        """A recipe was measured for a class, or is out."""

    def standing(self, standing: SearchStatus) -> None:
        """How far it is, a few times a second."""


class Silence:
    """A listener that says nothing."""

    def point(self, point: Point) -> None:
        """Say nothing."""

    def standing(self, standing: SearchStatus) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Ground:
    """What every build of a search shares: the model's files, cache, scratch folder, workers, classes and seed."""

    files: dict[str, str]
    cache_dir: Path
    work_dir: Path
    workers: WorkerPool
    classes: tuple[InstructionSet, ...]
    seed: int = 0


@dataclass(order=True)
class _Wish:
    """Something to give to a worker; those of the lowest rank go first, and of one rank the first that came."""

    rank: float
    number: int
    name: str = field(compare=False)
    work: Callable[..., Any] = field(compare=False)
    arguments: tuple[Any, ...] = field(compare=False)
    heard: Callable[[Any, float], None] = field(compare=False)
    never: Callable[[], None] = field(compare=False)
    folder: Path | None = field(compare=False, default=None)


class Runs:
    """The builds of a search until a point in time; what comes back may ask for more."""

    def __init__(self, ground: Ground, budget_s: float, listener: SearchListener) -> None:
        """Begin to count the time.

        Args:
            ground: what to build with.
            budget_s: seconds of wall time; what is under way then is ended.
            listener: told of points, and how far it is.
        """
        self.points: list[Point] = []
        self.reference: Path | None = None
        self.phase = "starting"
        self._ground = ground
        self._began_s = time.monotonic()
        self._until_s = self._began_s + budget_s
        self._listener = listener
        self._wishes: list[_Wish] = []
        self._numbers = itertools.count()
        self._known: set[tuple[str, tuple[InstructionSet, ...]]] = set()

    @property
    def left_s(self) -> float:
        """Seconds until the end."""
        return max(0.0, self._until_s - time.monotonic())

    def add(self, recipe: Recipe, rank: float, done: Done | None = None) -> None:
        """Ask for a recipe on every class; a recipe without a scheme is one build for all of them.

        Args:
            recipe: what to build and measure; one that was asked for already is not built again.
            rank: the lowest goes first.
            done: given the points of each build.
        """
        for classes in _classes(recipe, self._ground.classes):
            if (recipe.digest, classes) in self._known:
                continue
            self._known.add((recipe.digest, classes))
            if "scheme" in recipe.needs and scheme_for(classes[0]) is None:
                self.reject(recipe, classes, NO_SCHEME[classes[0]])
                continue
            self._ask_for(recipe, classes, rank, done or (lambda points: None))

    def reject(self, recipe: Recipe, classes: Sequence[InstructionSet], reason: str) -> None:
        """Note a recipe that is out for some classes before it was built."""
        self._take([Point(recipe, one, rejected=reason) for one in classes])

    def call(self, name: str, rank: float, work: Callable[..., Any], given: Any, heard: Callable[[Any], None]) -> None:
        """Ask for other work in a worker; nothing is heard of it if it fails or the time is up."""
        number = next(self._numbers)
        wish = _Wish(rank, number, name, work, (given,), lambda answer, _: heard(answer), lambda: None)
        heapq.heappush(self._wishes, wish)

    def run(self, phase: str, up_to: float = math.inf, most_s: float = math.inf) -> None:
        """Build until nothing is asked for any more, or until the time is up.

        Args:
            phase: what this is, for whoever looks on.
            up_to: the highest rank to begin with; what has a higher one waits for the next run.
            most_s: seconds after which nothing more is begun.
        """
        self.phase = phase
        began_s = time.monotonic()
        flying: dict[Future[Any], tuple[_Wish, float]] = {}
        while True:
            while self._wishes and self._wishes[0].rank <= up_to and len(flying) < self._ground.workers.count:
                if time.monotonic() - began_s > most_s:
                    break
                self._send(heapq.heappop(self._wishes), flying)
            if not flying:
                break
            done, _ = wait(flying, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                wish, sent_s = flying.pop(future)
                wish.heard(_outcome(future, self.left_s < SHORTEST_S), time.monotonic() - sent_s)
            self._tell([wish for wish, _ in flying.values()])

    def _send(self, wish: _Wish, flying: dict[Future[Any], tuple[_Wish, float]]) -> None:
        """Give it to a worker, until the end of the time at most; too late, it never runs."""
        if self.left_s < SHORTEST_S:
            wish.never()
            return
        usual = self._ground.workers.limits
        limits = Limits(min(usual.seconds, self.left_s), usual.memory_mb)
        future = self._ground.workers.submit_within(limits, wish.work, *wish.arguments)
        flying[future] = (wish, time.monotonic())

    def _ask_for(self, recipe: Recipe, classes: tuple[InstructionSet, ...], rank: float, done: Done) -> None:
        folder = self._ground.work_dir / f"{recipe.name}-{classes[0]}"

        def heard(outcome: dict[str, Any], seconds: float) -> None:
            points = _points(recipe, classes, outcome, seconds)
            self._take(points)
            done(points)

        wish = _Wish(
            rank,
            next(self._numbers),
            recipe.name,
            build_variant,
            (self._request(recipe, classes[0], folder),),
            heard,
            lambda: self.reject(recipe, classes, OUT_OF_TIME),
            folder,
        )
        heapq.heappush(self._wishes, wish)

    def _request(self, recipe: Recipe, instruction_set: InstructionSet, folder: Path) -> dict[str, Any]:
        return {
            "files": self._ground.files,
            "recipe": recipe.model_dump(mode="json"),
            "instruction_set": instruction_set,
            "cache_dir": str(self._ground.cache_dir),
            "work_dir": str(folder),
            "progress_path": str(progress_of(folder)),
            "reference": None if self.reference is None else str(self.reference),
            "seed": self._ground.seed,
        }

    def _take(self, points: list[Point]) -> None:
        self.points += points
        for point in points:
            self._listener.point(point)

    def _tell(self, running: list[_Wish]) -> None:
        rejected = sum(point.rejected is not None for point in self.points)
        self._listener.standing(
            SearchStatus(
                phase=self.phase,
                elapsed_s=time.monotonic() - self._began_s,
                left_s=self.left_s,
                measured=len(self.points) - rejected,
                rejected=rejected,
                waiting=len(self._wishes),
                running=[_progress(wish) for wish in running],
            )
        )


def progress_of(folder: Path) -> Path:
    """Where the build in `folder` writes how far it is."""
    return folder.with_name(f"{folder.name}.progress.json")


def _classes(recipe: Recipe, classes: tuple[InstructionSet, ...]) -> Iterator[tuple[InstructionSet, ...]]:
    """The groups of classes that one build serves."""
    if "scheme" not in recipe.needs:
        yield classes
    else:
        yield from ((one,) for one in classes)


def _progress(wish: _Wish) -> dict[str, Any]:
    entry: dict[str, Any] = {"recipe": wish.name, "fraction": 0.0, "text": "starting"}
    if wish.folder is not None:
        with suppress(OSError, ValueError):
            entry.update(json.loads(progress_of(wish.folder).read_bytes()))
    return entry


def _outcome(future: Future[Any], time_is_up: bool) -> Any:
    try:
        return future.result()
    except WorkerLostError as error:
        return {"ok": False, "error": STOPPED if time_is_up else str(error)}
    except Exception as error:
        return {"ok": False, "error": f"unexpected {type(error).__name__} ({error})"}


def _points(
    recipe: Recipe, classes: tuple[InstructionSet, ...], outcome: dict[str, Any], seconds: float
) -> list[Point]:
    if not outcome["ok"]:
        return [Point(recipe, one, rejected=str(outcome["error"]), seconds=seconds) for one in classes]
    metrics = Metrics.model_validate(outcome["metrics"])
    return [Point(recipe, one, metrics, built=outcome, seconds=seconds) for one in classes]
