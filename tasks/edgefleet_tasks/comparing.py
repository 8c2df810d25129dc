"""What tasks share to compare two runs of one variant."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from edgefleet_tasks.task import RunComparison

Read = TypeVar("Read")
MAX_SCALING = 1e9
"""Where one run's answers are all alike and the other's are not."""


def check_pairs(found: Sequence[bytes], recorded: Sequence[bytes]) -> None:
    """Refuse runs that cannot be compared.

    Raises:
        ValueError: they have different numbers of answers, or none.
    """
    if len(found) != len(recorded) or not recorded:
        raise ValueError(f"{len(found)} answers were given, {len(recorded)} are recorded")


def scaling(one: float, other: float) -> float:
    """By what factor the larger of two sizes exceeds the smaller."""
    small, large = sorted((one, other))
    return min(large / small, MAX_SCALING) if small > 0 else 1.0 if large == small else MAX_SCALING


def compared(
    found: Sequence[Read],
    recorded: Sequence[Read],
    agree: Callable[[Read, Read], float],
    difference: Callable[[Read, Read], float],
    size: Callable[[Read], float],
) -> RunComparison:
    """Compare answers, read, one by one: their mean agreement, largest difference, and the ratio of their sizes."""
    pairs = list(zip(found, recorded, strict=True))
    return RunComparison(
        agreement=sum(agree(a, b) for a, b in pairs) / len(pairs),
        difference=min(1.0, max(difference(a, b) for a, b in pairs)),
        scaling=scaling(math.fsum(map(size, found)), math.fsum(map(size, recorded))),
    )
