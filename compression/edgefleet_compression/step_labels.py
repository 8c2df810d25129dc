"""Labels of samples that are sequences: one for each step, or one for a whole sequence. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.samples import RawLabels


@dataclass(frozen=True, eq=False)
class StepLabels:
    """What is true of each answer of a model with state.

    A label of as many rows as its sequence has steps holds one for each; if any label has not, each is of a whole
    sequence, and so of the answer to its last step: the others are then neither right nor wrong.

    Attributes:
        labels: of sequences, in order.
        steps: how many each has, int64 [sequences].
    """

    labels: RawLabels
    steps: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.steps.sum())

    def __iter__(self) -> Iterator[Any]:
        """One for each answer, None where there is none."""
        by_step = self.by_step
        for label, count in zip(self.labels, self.steps.tolist(), strict=True):
            yield from ([one if one.ndim else one.item() for one in label] if by_step else [None] * (count - 1))
            if not by_step:
                yield label

    @property
    def by_step(self) -> bool:
        """Whether each step has its own."""
        pairs = zip(self.labels, self.steps.tolist(), strict=True)
        return all(isinstance(label, np.ndarray) and label.ndim and len(label) == count for label, count in pairs)

    def means(self, scores: Sequence[float]) -> NDArray[np.float64]:
        """The mean score of each sequence: its steps are alike, and no more than one sample.

        Args:
            scores: of the answers that have a label.
        """
        if not self.by_step:
            return np.asarray(scores, np.float64)
        starts = np.cumsum(self.steps) - self.steps
        return np.asarray(np.add.reduceat(np.asarray(scores, np.float64), starts) / self.steps)


def labels_of(labels: RawLabels | None, steps: NDArray[np.int64] | None) -> RawLabels | StepLabels | None:
    """The labels of a split as answers have them.

    Args:
        labels: of samples; None without any.
        steps: how many each has; None for a model without state.
    """
    return labels if labels is None or steps is None else StepLabels(labels, steps)
