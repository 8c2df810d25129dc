"""How far a set of builds is, and how long it will take: pure, and silent until there is something to go by."""

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_DONE = 0.03
"""The share of the work that must have run before its pace is worth a word."""
LEAST_S = 3.0


@dataclass(frozen=True)
class BuildShare:
    """A build: how long it is likely to take beside the others, the share that is done, and that from the cache."""

    weight: float
    fraction: float = 0.0
    cached: float = 0.0


def share_done(parts: Sequence[BuildShare]) -> float:
    """The share of all work that is done, from the cache or not."""
    total = sum(part.weight for part in parts)
    return sum(part.weight * part.fraction for part in parts) / total if total else 1.0


def seconds_left(parts: Sequence[BuildShare], elapsed_s: float) -> float | None:
    """How long the rest takes at the pace so far, not counting what came from the cache; None while unknown.

    An upper bound where builds share steps: what another build does first is in the cache by then.
    """
    total = sum(part.weight for part in parts)
    ran = sum(part.weight * max(0.0, part.fraction - part.cached) for part in parts)
    if ran < LEAST_DONE * total or elapsed_s < LEAST_S:
        return None
    return elapsed_s * sum(part.weight * (1 - part.fraction) for part in parts) / ran


def in_words(seconds: float | None) -> str:
    """`at most about 3 min left`; nothing while it is unknown."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"at most about {max(1, round(seconds))} s left"
    return f"at most about {round(seconds / 60)} min left"
