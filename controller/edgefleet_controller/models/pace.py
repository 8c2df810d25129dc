"""Estimates how long a set of builds will take, once there is something to go by; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_DONE = 0.03
"""The share of the work that must have run before its pace means anything."""
LEAST_S = 3.0


@dataclass(frozen=True)
class BuildShare:
    """A build: its expected relative duration, the share that is done, and the share of that from the cache."""

    weight: float
    fraction: float = 0.0
    cached: float = 0.0


def share_done(parts: Sequence[BuildShare]) -> float:
    """The share of all work that is done, cached or not."""
    total = sum(part.weight for part in parts)
    return sum(part.weight * part.fraction for part in parts) / total if total else 1.0


def seconds_left(parts: Sequence[BuildShare], elapsed_s: float) -> float | None:
    """Seconds for the rest at the pace so far, ignoring what came from the cache; None while unknown.

    An upper bound if builds share steps: by then, another build may have cached them.
    """
    total = sum(part.weight for part in parts)
    ran = sum(part.weight * max(0.0, part.fraction - part.cached) for part in parts)
    if ran < LEAST_DONE * total or elapsed_s < LEAST_S:
        return None
    return elapsed_s * sum(part.weight * (1 - part.fraction) for part in parts) / ran


def in_words(seconds: float | None) -> str:
    """`at most about 3 min left`, or nothing while unknown."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"at most about {max(1, round(seconds))} s left"
    return f"at most about {round(seconds / 60)} min left"
