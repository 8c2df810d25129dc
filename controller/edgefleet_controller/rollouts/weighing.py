"""How much each device's evidence weighs, so that no device decides for many; pure."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from statistics import NormalDist, median_low
from typing import Literal, NamedTuple

from edgefleet_protocol.moments import Moments

MANY = 5
"""In a wave of this many devices, one alone decides nothing."""
_CLIP = 2
_LEFT_OUT = 20
_NORMAL = NormalDist()


class Crowd(NamedTuple):
    """How many devices a rollout has reached so far: those of one profile that may yet give evidence, and all."""

    of_profile: int
    of_all: int

    def left_out(self, devices: int) -> int:
        """How many devices at either end do not count: none in a small wave, else one in twenty and at least one."""
        return 0 if self.of_all < MANY else max(1, devices // _LEFT_OUT)


@dataclass(frozen=True)
class Weighed:
    """What counts of what devices told: `moments`, of the devices `kept`; `outliers` differ from these."""

    kept: tuple[str, ...]
    moments: Moments
    outliers: tuple[str, ...]


def clip_at(counts: Collection[int], enough: int) -> int:
    """The most that one device may contribute: what is enough in all, or twice what the device in the middle gave."""
    return max(enough, _CLIP * median_low(counts)) if counts else enough


def weigh(
    told: Mapping[str, Moments], worse: Literal[1, -1], bar: float, crowd: Crowd, enough: int, significance: float
) -> Weighed:
    """Clip what each device told, and leave out those that weigh most for and against the variant.

    Args:
        told: scores by device; devices without any must be left away.
        worse: 1 if high scores count against the variant, -1 if low ones do.
        bar: the mean from which on scores count against it.
        crowd: how many devices the rollout has reached.
        enough: how many scores are enough to judge by.
        significance: how unlikely a device must be among the others to be called an outlier.
    """
    most = clip_at([moments.n for moments in told.values()], enough)
    clipped = {device: moments.clipped(most) for device, moments in told.items()}
    against = {device: worse * (mean(of) - bar) * of.n for device, of in clipped.items()}
    ordered = sorted(clipped, key=lambda device: (-against[device], device))
    out = crowd.left_out(len(ordered))
    kept = ordered[out:-out] if out and len(ordered) > 2 * out else ordered[out:]
    moments = reduce(add, (clipped[device] for device in kept), Moments())
    left_out = [*ordered[:out], *ordered[out + len(kept) :]] if kept else []
    outliers = tuple(d for d in left_out if differs(clipped[d], moments, significance))
    return Weighed(tuple(kept), moments, outliers)


def differs(one: Moments, others: Moments, significance: float) -> bool:
    """Whether two means differ, by a two-sided test of two proportions."""
    z = (mean(one) - mean(others)) / math.sqrt(variance_of_mean(one) + variance_of_mean(others))
    return 2 * (1 - _NORMAL.cdf(abs(z))) < significance


def variance_of_mean(scored: Moments) -> float:
    """Variance of a mean score with two right and two wrong answers added (Agresti and Coull), so never zero."""
    adjusted = scored + Moments.of_hits(4, 2)
    return (adjusted.variance or 0.0) / adjusted.n


def mean(scored: Moments) -> float:
    """The mean of scores of which there are some."""
    return scored.mean or 0.0
