"""Labels of samples that are sequences: one for each step, or one for a whole sequence."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray


class StepLabels(Sequence[Any]):
    """What is true of each answer of a model with state; None where nothing is said of it.

    A label of as many rows as its sequence has steps holds one for each; if any label has not, each is of a whole
    sequence, and so of the answer to its last step: the others are then neither right nor wrong.

    Args:
        labels: of sequences, in order.
        steps: how many each has.
    """

    def __init__(self, labels: Sequence[Any], steps: Sequence[int]) -> None:
        self.labels, self.steps = labels, tuple(steps)

    def __len__(self) -> int:
        return sum(self.steps)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return self._each[place]

    @cached_property
    def by_step(self) -> bool:
        """Whether each step has its own."""
        pairs = zip(self.labels, self.steps, strict=True)
        return all(isinstance(label, np.ndarray) and label.ndim and len(label) == count for label, count in pairs)

    def means(self, scores: Sequence[float]) -> NDArray[np.float64]:
        """The mean score of each sequence: its steps are alike, and no more than one sample.

        Args:
            scores: of the answers that have a label.
        """
        return means_of(scores, self.steps) if self.by_step else np.asarray(scores, np.float64)

    @cached_property
    def _each(self) -> list[Any]:
        found: list[Any] = []
        for label, count in zip(self.labels, self.steps, strict=True):
            if self.by_step:
                found += [one if one.ndim else one.item() for one in np.asarray(label)]
            else:
                found += [None] * (count - 1) + [label]
        return found


def means_of(values: ArrayLike, steps: Sequence[int]) -> NDArray[np.float64]:
    """The mean of each sequence, float64 [sequences].

    Args:
        values: one for each step.
        steps: how many each sequence has, at least one.
    """
    counts = np.asarray(steps, np.int64)
    return np.asarray(np.add.reduceat(np.asarray(values, np.float64), np.cumsum(counts) - counts) / counts)
