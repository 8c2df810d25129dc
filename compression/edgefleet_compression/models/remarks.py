"""What data can be used with and tells little: said when a model is added, and refused nowhere. Pure."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgefleet_compression.samples import ArraySplit
from edgefleet_contract.counted import counted

UNUSUAL = 0.05
"""What happens by chance less often than this is not put down to chance."""
UNSURE_POINTS = 10.0
"""Choices are made on val: known to fewer points than this, its accuracy tells variants apart."""


def remarks_on(val: ArraySplit, answered: Sequence[int] = ()) -> tuple[str, ...]:
    """What is remarkable about the split that variants are chosen by.

    Args:
        val: the split.
        answered: the classes that the model answered for its first samples.
    """
    return tuple(said for said in (_few(len(val.x)), _one_class(val), _by_chance(val, answered)) if said)


def _few(samples: int) -> str | None:
    # The half width of a 95 % interval for a share, at its widest.
    points = 100 * 1.96 * 0.5 / math.sqrt(samples)
    if points <= UNSURE_POINTS:
        return None
    enough = math.ceil((100 * 1.96 * 0.5 / UNSURE_POINTS) ** 2)
    return (
        f"val has {counted(samples, 'sample')}, by which accuracy is known to within {points:.0f} points at best: "
        f"variants are chosen by chance with fewer than {enough}"
    )


def _one_class(val: ArraySplit) -> str | None:
    if val.y is None or len(val.y) < 2 or len(np.unique(val.y)) > 1:
        return None
    return f"every sample of val is of class {val.y[0]}: a variant that always answers it looks perfect; add others"


def _by_chance(val: ArraySplit, answered: Sequence[int]) -> str | None:
    """Answers that are nearly always wrong: right no more often than if labels were shuffled among these samples."""
    if val.y is None:
        return None
    asked, labels = len(answered), [int(label) for label in val.y[: len(answered)]]
    right = sum(answer == label for answer, label in zip(answered, labels, strict=True))
    has = Counter(labels)
    chance = sum(has[answer] for answer in answered) / max(1, asked) ** 2
    poor = 1 - _at_least(right + 1, asked, 0.5) <= UNUSUAL  # for a model that is right half of the time
    if not poor or _at_least(right, asked, chance) <= UNUSUAL:
        return None
    return (
        f"the model answers {right} of the first {asked} samples of val as they are labelled, no more than by "
        "guessing: check the order of samples, labels and classes, and preprocessing.scale"
    )


def _at_least(right: int, asked: int, share: float) -> float:
    """How probable so many right answers or more are, if each is right with this probability."""
    return sum(math.comb(asked, k) * share**k * (1 - share) ** (asked - k) for k in range(right, asked + 1))
