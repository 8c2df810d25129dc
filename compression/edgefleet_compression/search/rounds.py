"""What a search tries next: pure; takes what is known so far and what time is left, returns networks to train.

Scouts train for a moment and say which networks are worth the whole; those that are not are rejected for that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgefleet_compression.search import space
from edgefleet_compression.search.pareto import costs, dominates
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.space import Trunk

SCOUT_EPOCHS = 2
WHOLE_SHARE = 0.55
"""Which part of the time that is left the training of whole networks may take; low bits and measuring need the rest."""
MOST_EPOCHS, LEAST_EPOCHS = 48, 4


@dataclass(frozen=True)
class Means:
    """What a search has to spend: workers, and seconds of wall time."""

    workers: int
    left_s: float


def scouts() -> list[Trunk]:
    """Every network of the default space, to be trained for a moment."""
    return [*space.students(SCOUT_EPOCHS), *space.pruned(SCOUT_EPOCHS)]


def worth_training(trunks: Sequence[Trunk], scouted: Mapping[str, Point], most: int) -> list[Trunk]:
    """The networks to train in full: none that another beats in everything, spread from the smallest to the best.

    Args:
        trunks: the networks.
        scouted: what each was worth after a moment, by its name, on one class.
        most: how many to choose.
    """
    found = {name: p.metrics for name, p in scouted.items() if p.metrics is not None and p.rejected is None}
    others = [costs(metrics) for metrics in found.values()]
    kept = [
        trunk
        for trunk in trunks
        if trunk.name in found and not any(dominates(other, costs(found[trunk.name])) for other in others)
    ]
    kept.sort(key=lambda trunk: found[trunk.name].encoding_bytes or 0)
    if len(kept) <= most:
        return kept
    places = {round(i * (len(kept) - 1) / (most - 1)) for i in range(most)} if most > 1 else {len(kept) - 1}
    return [kept[place] for place in sorted(places)]


def in_full(trunks: Sequence[Trunk], seconds_an_epoch: Mapping[str, float], means: Means) -> list[Trunk]:
    """The networks with as many epochs as the time allows, the same for all.

    Args:
        trunks: what to train.
        seconds_an_epoch: of each, by its name; none known counts as nothing.
        means: the time that is left, and how many train side by side.
    """
    one_epoch_s = sum(seconds_an_epoch.get(trunk.name, 0.0) for trunk in trunks) / means.workers
    epochs = int(means.left_s * WHOLE_SHARE / one_epoch_s) if one_epoch_s else MOST_EPOCHS
    return [trunk.trained_for(max(LEAST_EPOCHS, min(MOST_EPOCHS, epochs))) for trunk in trunks]


def seconds_an_epoch(point: Point, trunk: Trunk) -> float:
    """How long an epoch of a scout's costly step took, whether it ran now or lay in the cache."""
    logs = [step["log"] for step in point.steps]
    return max((float(log["took_s"]) for log in logs if "losses" in log), default=0.0) / max(trunk.epochs, 1)
