"""Runs a search: recipes go to workers, the most urgent first, and come back as measured points."""

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, ModelFiles, RefusalReason, WorkRefused
from edgefleet_compression.builds.progress import read_progress
from edgefleet_compression.builds.refusals import settled
from edgefleet_compression.builds.worker_pool import Limits
from edgefleet_compression.builds.worker_team import Workers
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.schemes import NO_SCHEME, scheme_for
from edgefleet_compression.search.points import Point
from edgefleet_contract.operations import BuildProgress
from edgefleet_profiles.device_class import InstructionSet

POLL_S = 0.3
SHORTEST_S = 1.0
OUT_OF_TIME = "out of time: the budget ended before it began"
STOPPED = WorkRefused(
    "out_of_time", "out of time: the budget ended during the build; its finished steps are in the cache"
)
LOST: frozenset[RefusalReason] = frozenset({"timed_out", "out_of_memory", "worker_lost"})

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")
Done = Callable[[list[Point]], None]


@dataclass(frozen=True)
class SearchStatus:
    """The progress of a search: its phase, seconds elapsed and left at most, points, and builds in progress."""

    phase: str
    elapsed_s: float
    left_s: float
    measured: int
    rejected: int
    waiting: int
    running: list[BuildProgress]


class SearchListener(Protocol):
    """Hears how a search goes."""

    def point(self, point: Point) -> None:
        """A recipe was measured for a class, or rejected."""

    def standing(self, standing: SearchStatus) -> None:
        """The progress, a few times a second."""


class Silence:
    """A listener that ignores everything."""

    def point(self, point: Point) -> None:
        """Ignore it."""

    def standing(self, standing: SearchStatus) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class Ground:
    """What every build of a search shares; `work_dir` is scratch space."""

    files: ModelFiles
    cache_dir: Path
    work_dir: Path
    workers: Workers
    classes: tuple[InstructionSet, ...]
    seed: int = 0


@dataclass(order=True)
class _Wish(Generic[Request, Outcome]):
    """A call for a worker; the lowest rank goes first, and within a rank the oldest.

    `heard` gets the outcome and the seconds it took; `never` is called if the time is up before the call begins.
    """

    rank: float
    number: int
    name: str = field(compare=False)
    work: Callable[[Request], Outcome | WorkRefused] = field(compare=False)
    request: Request = field(compare=False)
    heard: Callable[[Outcome | WorkRefused, float], None] = field(compare=False)
    never: Callable[[], None] = field(compare=False)
    progress_path: Path | None = field(compare=False, default=None)

    def send(self, workers: Workers, limits: Limits) -> Future[Outcome | WorkRefused]:
        """Give it to a worker."""
        return workers.submit_within(limits, self.work, self.request)

    def hear(self, future: Future[Outcome | WorkRefused], seconds: float, time_is_up: bool) -> None:
        """Pass on the outcome; a worker that ended with the budget was stopped, not lost."""
        outcome = settled(future)
        if isinstance(outcome, WorkRefused) and time_is_up and outcome.reason in LOST:
            outcome = STOPPED
        self.heard(outcome, seconds)

    def progress(self) -> BuildProgress:
        """How far it is."""
        known = self.progress_path and read_progress(self.progress_path)
        return known or BuildProgress(recipe=self.name, fraction=0.0, text="starting")


_Flying = dict[Future[Any], tuple[_Wish[Any, Any], float]]
"""The calls in progress and when each was sent; each wish has types of its own."""


class Runs:
    """The builds of a search within its budget; their outcomes may ask for more."""

    def __init__(self, ground: Ground, budget_s: float, listener: SearchListener) -> None:
        """Start the clock.

        Args:
            ground: what builds share.
            budget_s: seconds of wall time, after which builds in progress are stopped.
            listener: hears of points and progress.
        """
        self.points: list[Point] = []
        self.phase = "starting"
        self._ground = ground
        self._began_s = time.monotonic()
        self._until_s = self._began_s + budget_s
        self._listener = listener
        self._wishes: list[_Wish[Any, Any]] = []
        self._numbers = itertools.count()
        self._known: set[tuple[str, tuple[InstructionSet, ...]]] = set()

    @property
    def left_s(self) -> float:
        """Seconds left of the budget."""
        return max(0.0, self._until_s - time.monotonic())

    def add(self, recipe: Recipe, rank: float, done: Done | None = None) -> None:
        """Ask for a recipe on every class; without a scheme, one build serves all of them.

        Args:
            recipe: to build and measure; asked for again, it is ignored.
            rank: the lowest goes first.
            done: called with the points of each build.
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
        """Reject a recipe for some classes before building it."""
        self._take([Point(recipe, one, rejected=reason) for one in classes])

    def call(
        self,
        name: str,
        rank: float,
        work: Callable[[Request], Outcome | WorkRefused],
        request: Request,
        heard: Callable[[Outcome], None],
    ) -> None:
        """Ask for other work; `heard` is not called if it fails or the time is up."""

        def answered(outcome: Outcome | WorkRefused, _: float) -> None:
            if not isinstance(outcome, WorkRefused):
                heard(outcome)

        heapq.heappush(self._wishes, _Wish(rank, next(self._numbers), name, work, request, answered, lambda: None))

    def run(self, phase: str, up_to: float = math.inf, most_s: float = math.inf) -> None:
        """Build until nothing is left to build, or the time is up.

        Args:
            phase: a name to show.
            up_to: the highest rank to start; the rest waits for the next run.
            most_s: seconds after which nothing more is started.
        """
        self.phase = phase
        began_s = time.monotonic()
        flying: _Flying = {}
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
                wish.hear(future, time.monotonic() - sent_s, self.left_s < SHORTEST_S)
            self._tell([wish for wish, _ in flying.values()])

    def _send(self, wish: _Wish[Any, Any], flying: _Flying) -> None:
        """Give it to a worker for at most the time left; if that is too short, it never runs."""
        if self.left_s < SHORTEST_S:
            wish.never()
            return
        usual = self._ground.workers.limits
        limits = replace(usual, seconds=min(usual.seconds, self.left_s))
        flying[wish.send(self._ground.workers, limits)] = (wish, time.monotonic())

    def _ask_for(self, recipe: Recipe, classes: tuple[InstructionSet, ...], rank: float, done: Done) -> None:
        folder = self._ground.work_dir / f"{recipe.name}-{classes[0]}"

        def heard(outcome: BuildOutcome | WorkRefused, seconds: float) -> None:
            points = _points(recipe, classes, outcome, seconds)
            self._take(points)
            done(points)

        wish = _Wish(
            rank,
            next(self._numbers),
            recipe.name,
            build_variant,
            self._request(recipe, classes[0], folder),
            heard,
            lambda: self.reject(recipe, classes, OUT_OF_TIME),
            progress_of(folder),
        )
        heapq.heappush(self._wishes, wish)

    def _request(self, recipe: Recipe, instruction_set: InstructionSet, folder: Path) -> BuildRequest:
        return BuildRequest(
            files=self._ground.files,
            recipe=recipe,
            instruction_set=instruction_set,
            cache_dir=self._ground.cache_dir,
            work_dir=folder,
            progress_path=progress_of(folder),
            seed=self._ground.seed,
        )

    def _take(self, points: list[Point]) -> None:
        self.points += points
        for point in points:
            self._listener.point(point)

    def _tell(self, running: list[_Wish[Any, Any]]) -> None:
        rejected = sum(point.rejected is not None for point in self.points)
        self._listener.standing(
            SearchStatus(
                phase=self.phase,
                elapsed_s=time.monotonic() - self._began_s,
                left_s=self.left_s,
                measured=len(self.points) - rejected,
                rejected=rejected,
                waiting=len(self._wishes),
                running=[wish.progress() for wish in running],
            )
        )


def progress_of(folder: Path) -> Path:
    """The progress file of the build in `folder`."""
    return folder.with_name(f"{folder.name}.progress.json")


def _classes(recipe: Recipe, classes: tuple[InstructionSet, ...]) -> Iterator[tuple[InstructionSet, ...]]:
    """Group the classes that one build serves."""
    if "scheme" not in recipe.needs:
        yield classes
    else:
        yield from ((one,) for one in classes)


def _points(
    recipe: Recipe, classes: tuple[InstructionSet, ...], outcome: BuildOutcome | WorkRefused, seconds: float
) -> list[Point]:
    if isinstance(outcome, WorkRefused):
        return [Point(recipe, one, rejected=outcome.sentence, seconds=seconds) for one in classes]
    return [Point(recipe, one, outcome.metrics, built=outcome, seconds=seconds) for one in classes]
