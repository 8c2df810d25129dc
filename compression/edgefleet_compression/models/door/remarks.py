"""What data can be used with and tells little: said when a model is added, and refused nowhere. Pure."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgefleet_compression.samples import Split
from edgefleet_contract.counted import counted
from edgefleet_protocol.features import FIRST_TASK
from edgefleet_tasks.registry import task_named

UNUSUAL = 0.05
"""What happens by chance less often than this is not put down to chance."""
UNSURE_POINTS = 10.0
"""Choices are made on val: known to fewer points than this, its accuracy tells variants apart."""


def remarks_on(val: Split, task: str, answered: Sequence[int] = ()) -> tuple[str, ...]:
    """What is remarkable about the split that variants are chosen by.

    Args:
        val: the split.
        task: what the model does.
        answered: the classes that a classifier answers to its first samples.
    """
    classes = _classes(val) if task == FIRST_TASK else None
    judged = task_named(task).measure.name if val.y is not None and task_named(task).scores_alone else "agreement"
    few = _few_hits(len(val), judged) if classes else _few(len(val), judged)
    found = (few, _alike(val), classes and _by_chance(classes, answered))
    return tuple(said for said in found if said)


def _classes(val: Split) -> list[int] | None:
    """The labels, if all are numbers of classes."""
    labels = [] if val.y is None else list(val.y)
    return labels if labels and all(isinstance(label, int) for label in labels) else None


def _few_hits(samples: int, measure: str) -> str | None:
    # The half width of a 95 % interval for a share, at its widest.
    points = 100 * 1.96 * 0.5 / math.sqrt(samples)
    return _told(samples, measure, points, math.ceil((100 * 1.96 * 0.5 / UNSURE_POINTS) ** 2))


def _few(samples: int, measure: str) -> str | None:
    # The rule of three: where all samples are as they should be, so many may still not be.
    return _told(samples, measure, 100 * 3 / samples, math.ceil(100 * 3 / UNSURE_POINTS))


def _told(samples: int, measure: str, points: float, enough: int) -> str | None:
    if points <= UNSURE_POINTS:
        return None
    return (
        f"val has {counted(samples, 'sample')}, by which {measure} is known to within {points:.0f} points at best: "
        f"variants are chosen by chance with fewer than {enough}"
    )


def _alike(val: Split) -> str | None:
    if val.y is None or len(val.y) < 2:
        return None
    first, *others = (np.asarray(label) for label in val.y)
    if not all(np.array_equal(first, other) for other in others):
        return None
    what = f"of class {first}" if not first.ndim and first.dtype.kind in "iuUS" else "labelled alike"
    return f"every sample of val is {what}: a variant that always answers it looks perfect; add others"


def _by_chance(classes: Sequence[int], answered: Sequence[int]) -> str | None:
    """Answers that are nearly always wrong: right no more often than if labels were shuffled among these samples."""
    asked, labels = len(answered), classes[: len(answered)]
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
