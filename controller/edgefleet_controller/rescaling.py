"""Scores of a version by the scale of what ran before; pure.

A regressor's scale is found on its own val, and so a version whose numbers spread wider counts the same error for less.
Devices score by the scale of the version that answered. An error of `e` by that is one of `e` x ratio by the other,
but errors end at 1, and each number has its own ratio: so scores are known between bounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgefleet_protocol.moments import SCALE, Moments


@dataclass(frozen=True)
class Rescaling:
    """By how many times less, and more, may be lost by the older scale than by a version's own."""

    least: float = 1.0
    most: float = 1.0

    def at_best(self, told: Mapping[str, Moments]) -> dict[str, Moments]:
        """The highest that scores may be by the older scale, by device."""
        return {device: losing(scored, self.least) for device, scored in told.items()}

    def at_worst(self, told: Mapping[str, Moments]) -> dict[str, Moments]:
        """The lowest that they may be."""
        return {device: losing(scored, self.most) for device, scored in told.items()}


ALIKE = Rescaling()


def rescaling(new: Sequence[float], old: Sequence[float]) -> Rescaling:
    """How the scales of two versions compare; alike where one has none, or they are of other numbers.

    Args:
        new: the scale of each number of the newer version.
        old: those of the older one.
    """
    if not new or len(new) != len(old):
        return ALIKE
    ratios = [a / b for a, b in zip(new, old, strict=True)]
    return Rescaling(min(1.0, *ratios), max(1.0, *ratios))


def losing(scored: Moments, times: float) -> Moments:
    """Scores that lose so many times as much, none below 0."""
    if times == 1 or not scored.n:
        return scored
    whole = scored.n * SCALE
    total = max(0, round(whole - times * (whole - scored.sum)))
    lost2 = max(0, whole - 2 * scored.sum + scored.sum2)
    squares = round(whole - 2 * (whole - total) + times * times * lost2)
    return Moments(scored.n, total, min(max(squares, -(-total * total // whole)), total))
