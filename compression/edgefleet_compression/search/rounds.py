"""Plans how a search spends its budget: which networks to train, and for how long; pure.

Scouts, networks trained for a moment, show which ones are worth training in full. The plan follows from the budget and
the time that scouts took when they ran, never from the clock: the same command makes the same plan again, and finds
everything in the cache.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgefleet_compression.builds.step_reports import StepFigures, figures_of
from edgefleet_compression.search import space
from edgefleet_compression.search.pareto import NOISE
from edgefleet_compression.search.points import Point
from edgefleet_compression.search_roles import Tail, Trunk

SCOUT_EPOCHS, SCOUT_SAMPLES = 2, 16384
SCOUT_SHARE, WHOLE_SHARE, LOW_SHARE = 0.10, 0.50, 0.30
"""Shares of the budget: for scouts, for full training, for low bits. The rest is for what needs no training."""
ENOUGH_EPOCHS = 24
"""With fewer epochs for each, train fewer networks."""
MOST_EPOCHS, LEAST_EPOCHS = 60, 2
MOST_LOW, LEAST_LOW = 12, 2
MOST_REPEATS = 16
"""The most passes over a small train split that stand for one over a large one: what counts is the samples seen."""
MOST_TRUNKS = 3
MOST_TRAININGS = 20
PROMISE, SLACK = 1.2, 0.005
"""A scout may err this many times as often as the best of its family, plus half a point; a network beyond that is not
worth full training. Where errors are rare, half a point matters to few, and small splits cannot show it."""
BUILD_S = 8.0
"""Seconds of a build besides training: data, export, figures."""
ROUNDED_COST = 1.5
"""An epoch with rounded weights takes this many times as long."""


@dataclass(frozen=True)
class Means:
    """What a search may spend: workers, and seconds of wall time."""

    workers: int
    budget_s: float


@dataclass(frozen=True)
class Planned:
    """A network to train in full, and the low bits to train it to afterwards."""

    trunk: Trunk
    low_bits: tuple[Tail, ...]


def scouts(networks: Sequence[Trunk], train_samples: int) -> list[Trunk]:
    """The networks, trained for a moment only."""
    samples, epochs = min(SCOUT_SAMPLES, train_samples), SCOUT_EPOCHS * repeats(train_samples)
    return [space.trained_for(trunk, epochs, samples) for trunk in networks]


def repeats(train_samples: int) -> int:
    """How many epochs of a small train split stand for one of a large one."""
    return min(MOST_REPEATS, max(1, SCOUT_SAMPLES // max(1, train_samples)))


def may_scout_on(took_s: Sequence[float], means: Means) -> bool:
    """Whether there is time for one more scout a worker, judging by the seconds that each took so far."""
    if not took_s:
        return True
    after = len(took_s) + means.workers
    return sum(took_s) / len(took_s) * after / means.workers <= SCOUT_SHARE * means.budget_s


def worth_training(scouted: Sequence[tuple[Trunk, Point]]) -> list[Trunk]:
    """The networks worth training in full, the most promising first.

    Among students that err little more than the best: the leanest, by bytes times latency, then the best, then the
    fastest, if another one is faster by more than noise; then a pruned source, and the rest by size.

    Args:
        scouted: each network with its scout's point on one class.
    """
    students, cut = (_keeping_up(scouted, family) for family in ("student", "pruned"))
    lean = sorted(students, key=lambda entry: (_size(entry[1]) * _latency(entry[1]), entry[0].name))
    best = sorted(students, key=lambda entry: (_error(entry[1]), _size(entry[1])))
    faster = [entry for entry in students if _latency(entry[1]) < (1 - NOISE["latency"]) * _latency(lean[0][1])]
    fastest = sorted(faster, key=lambda entry: _latency(entry[1]))
    found = [*lean[:1], *best[:1], *fastest[:1], *cut, *sorted(students, key=lambda entry: _size(entry[1]))]
    return list({trunk.name: trunk for trunk, _ in found}.values())


def _keeping_up(scouted: Sequence[tuple[Trunk, Point]], family: str) -> list[tuple[Trunk, Point]]:
    """The members of a family that have figures and err little more than its best."""
    known = [(t, p) for t, p in scouted if t.family == family and p.metrics and p.quality is not None]
    least = min((_error(p) for _, p in known), default=0.0)
    return [(t, p) for t, p in known if _error(p) <= PROMISE * least + SLACK]


def plan(
    chosen: Sequence[Trunk],
    epoch_s: Mapping[str, float],
    means: Means,
    trained: int,
    low_bits: Sequence[tuple[str, float]],
    each: int = 1,
) -> list[Planned]:
    """The networks to train, for as many epochs as the time allows.

    One network with many epochs beats several with few, but training another one on an idle worker is free.

    Args:
        chosen: the networks worth training, the most promising first.
        epoch_s: seconds of one epoch over all of train, by the network's name.
        means: what the search may spend.
        trained: how many trainings have run already.
        low_bits: what weights may be trained to, the surest first, with the relative number of epochs each needs.
        each: see `repeats`; an epoch here stands for so many.
    """
    epoch_s = {name: each * seconds for name, seconds in epoch_s.items()}
    chosen = [trunk for trunk in chosen if epoch_s.get(trunk.name)][:MOST_TRUNKS]
    for count in range(len(chosen), 0, -1):
        epochs = _epochs(chosen[:count], epoch_s, means)
        if count <= means.workers or max(epochs) >= ENOUGH_EPOCHS:
            wishes = _wishes(chosen[:count], low_bits)
            whole = [space.trained_for(trunk, each * number) for trunk, number in zip(chosen, epochs, strict=False)]
            left = MOST_TRAININGS - trained - count
            return [Planned(trunk, _low_bits(trunk, wishes, epoch_s, means, left, each)) for trunk in whole]
    return []


def _epochs(trunks: Sequence[Trunk], epoch_s: Mapping[str, float], means: Means) -> list[int]:
    """Epochs of each network, filling their share of the time without exceeding it.

    A network trains on one worker; the part of its share that it cannot use goes to the others.
    """
    share_s = WHOLE_SHARE * means.budget_s
    left_s = share_s * min(means.workers, len(trunks))
    epochs: dict[str, float] = {}
    # Networks that reach their bound first leave the rest to the others.
    bounds = {t.name: min(share_s / epoch_s[t.name] / t.patience, MOST_EPOCHS) for t in trunks}
    waiting = sorted(trunks, key=lambda trunk: (bounds[trunk.name], trunk.name))
    while waiting:
        units = left_s / sum(t.patience * epoch_s[t.name] for t in waiting)
        trunk = waiting.pop(0)
        epochs[trunk.name] = min(units, bounds[trunk.name]) * trunk.patience
        left_s -= epochs[trunk.name] * epoch_s[trunk.name]
    return [max(LEAST_EPOCHS, int(epochs[trunk.name])) for trunk in trunks]


def _low_bits(
    trunk: Trunk,
    wishes: Sequence[tuple[Trunk, str, float]],
    epoch_s: Mapping[str, float],
    means: Means,
    left: int,
    each: int,
) -> tuple[Tail, ...]:
    """The low bits to train one network to, as far as time and the number of trainings allow."""
    for count in range(len(wishes), 0, -1):
        seconds = (LOW_SHARE * means.budget_s * means.workers - BUILD_S * count) / ROUNDED_COST
        unit = seconds / sum(weight * epoch_s[t.name] for t, _, weight in wishes[:count])
        tails = [(t, space.low_bits(name, *_low_epochs(unit * weight, each))) for t, name, weight in wishes[:count]]
        if unit >= LEAST_LOW and sum(space.trainings(tail) for _, tail in tails) <= left:
            return tuple(tail for t, tail in tails if t.name == trunk.name)
    return ()


def _wishes(trunks: Sequence[Trunk], low_bits: Sequence[tuple[str, float]]) -> list[tuple[Trunk, str, float]]:
    """What to train to low bits, the surest first; a pruned source is too large for it."""
    wishes = []
    able = [t for t in trunks if t.family == "student"]
    # Ternary and binary weights need width: the second network is the best one, if that is not also the leanest.
    wide = able[1:2] or able
    small = [t for t in able if t not in wide] or able
    for name, weight in low_bits:
        wishes += [(t, name, weight) for t in (wide if name in ("ternary", "binary") else small)]
    return wishes


def _low_epochs(epochs: float, each: int) -> tuple[int, int]:
    """Epochs with rounded weights, and for norms alone: a quarter."""
    whole = max(LEAST_LOW, min(MOST_LOW, int(epochs)))
    return each * max(1, whole * 3 // 4), each * max(1, whole // 4)


def epoch_seconds(point: Point, train_samples: int) -> float:
    """Seconds of one epoch over all of train, from a scout's epochs, run now or cached.

    The duration of its whole step would be too long: asking the source and evaluating val take two short epochs.
    """
    took_s = max((_epoch_s(figures_of(step)) for step in point.steps), default=0.0)
    return took_s * train_samples / min(SCOUT_SAMPLES, train_samples) if train_samples else 0.0


def training_seconds(point: Point) -> float:
    """How long a point's training step took, now or when it was cached."""
    trained = (figures_of(step) for step in point.steps)
    return max((known.took_s or 0.0 for known in trained if known.losses is not None), default=0.0)


def _epoch_s(step: StepFigures) -> float:
    """Seconds of one epoch of a step; 0 if it doesn't train."""
    if not step.losses:
        return 0.0
    return step.epoch_s if step.epoch_s is not None else (step.took_s or 0.0) / len(step.losses)


def _error(point: Point) -> float:
    return 1 - (point.quality or 0.0)


def _latency(point: Point) -> float:
    latency = point.metrics.latency_ratio if point.metrics else None
    return float("inf") if latency is None else latency


def _size(point: Point) -> float:
    metrics = point.metrics
    return float(metrics.encoding_bytes) if metrics and metrics.encoding_bytes else float("inf")
