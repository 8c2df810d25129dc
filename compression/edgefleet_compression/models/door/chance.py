"""Whether answers tell anything: they differ, and fit their own labels better than those of other samples.

The latter for every task whose single answers have a score; a classifier's are told by `remarks.py`, which counts hits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.models.door.taking import TakenModel, label_spec
from edgefleet_compression.samples import Split
from edgefleet_protocol.features import FIRST_TASK
from edgefleet_tasks.registry import task_named

LEAST = 8
"""Of fewer answers, chance alone says too much."""
SHUFFLES = 400
POOR = 0.5
"""From this score on, answers are right too often to be put down to a wrong mapping: most samples may be alike."""


def by_chance(taken: TakenModel, val: Split) -> str | None:
    """What is said of a model whose first answers are no better with their own labels than with shuffled ones.

    None if they are better, or if that cannot be told: without labels, of a model with state, of too few answers.
    """
    task = task_named(taken.task)
    if taken.task == FIRST_TASK or taken.state or val.y is None or not task.scores_alone:
        return None
    spec = label_spec(taken)
    try:
        answers = task.reduce(taken.answers, taken.spec)
        labels = [task.label(raw, spec) for raw in list(val.y)[: len(answers)]]
    except (ValueError, TypeError):  # whoever checks them says so
        return None
    if len(labels) < LEAST or len(labels) != len(answers):
        return None
    scores = np.array([[task.score(answer, label, spec) for label in labels] for answer in answers])
    own = float(np.trace(scores)) / len(labels)
    if not is_by_chance(scores):
        return None
    return (
        f"{task.measure.name} of the first {len(labels)} samples of val is {100 * own:.0f} %, no more than with the "
        "labels of other samples: check their order, which outputs are read and how, and preprocessing"
    )


def alike(taken: TakenModel) -> str | None:
    """What is said of a model whose first answers are all the same, as those of a detector that finds no box.

    None if they are not, or if that cannot be told: of a model with state, of too few answers.
    """
    task = task_named(taken.task)
    if taken.state:
        return None
    try:
        answers = task.reduce(taken.answers, taken.spec)
    except ValueError:  # whoever checks them says so
        return None
    if len(answers) < LEAST or any(task.agree(answers[0], answer, taken.spec) < 1 for answer in answers[1:]):
        return None
    return (
        f"the answers to the first {len(answers)} samples of val are all the same, and such agree whatever becomes of "
        "the model: check which outputs are read and how, preprocessing, and whether the samples differ"
    )


def is_by_chance(scores: NDArray[np.float64] | Sequence[Any]) -> bool:
    """Whether answers score low, and as high with shuffled labels more often than once in twenty times.

    Args:
        scores: of each answer by each label, float64 [samples, samples].
    """
    table = np.asarray(scores, np.float64)
    count, rng = len(table), np.random.RandomState(0)
    own = np.trace(table) / count
    shuffled = [table[np.arange(count), rng.permutation(count)].mean() for _ in range(SHUFFLES)]
    return bool(own < POOR and np.mean(np.array(shuffled) >= own - 1e-12) > 0.05)
