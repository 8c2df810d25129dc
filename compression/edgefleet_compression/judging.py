"""Reduced answers to a split judged by the model's task: how right they are, and how far two files answer alike."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.intervals import Z_95, mean_score
from edgefleet_tasks.task import Outputs, Task

Answers = Sequence[bytes]
SampleScores = NDArray[np.float64]
"""float64 [samples], from 0 to 1."""


@dataclass(frozen=True)
class Judge:
    """The task of a model, and what is known of its answers.

    Attributes:
        task: the task.
        spec: of the source model, whatever file is judged.
    """

    task: Task[Any]
    spec: Spec

    def scores(self, answers: Answers, labels: Iterable[Any] | None) -> SampleScores | None:
        """How right each answer is; None without labels, or if single answers of this task have no score.

        Args:
            answers: one for each sample.
            labels: as the data has them, checked before.
        """
        if labels is None or not self.task.scores_alone:
            return None
        read = (self.task.label(label, self.spec) for label in labels)
        pairs = zip(answers, read, strict=True)
        return np.array([self.task.score(answer, label, self.spec) for answer, label in pairs], np.float64)

    def reduced(self, answers: Sequence[Outputs]) -> list[bytes]:
        """Answers, sample by sample, reduced.

        Raises:
            ValueError: one is not finite, or not of the task.
        """
        return [one for outputs in answers for one in self.task.reduce(outputs, self.spec)]

    def agreements(self, one: Answers, other: Answers) -> SampleScores:
        """How far two files answer alike, sample by sample."""
        pairs = zip(one, other, strict=True)
        return np.array([self.task.agree(a, b, self.spec) for a, b in pairs], np.float64)

    def agreement(self, one: Answers, other: Answers) -> float:
        """How far two files answer alike, from 0 to 1, on average."""
        return float(self.agreements(one, other).mean())

    def headline(self, answers: Answers, labels: Iterable[Any] | None) -> Interval | None:
        """The figure that people know the task by; None without labels, or if these have none."""
        if labels is None:
            return None
        try:
            return self.task.headline(answers, [self.task.label(label, self.spec) for label in labels], self.spec)
        except ValueError:  # one class only, or a single sample
            return None


def mean_of(scores: SampleScores | None) -> Interval | None:
    """The mean score with its interval of 95 %; None without scores."""
    return None if scores is None or not len(scores) else mean_score(scores)


def drop(before: SampleScores | None, after: SampleScores | None) -> Interval | None:
    """How much lower scores are than before, sample by sample, with the interval of 95 %; None without scores."""
    if before is None or after is None or not len(before):
        return None
    lost = before - after
    mean, half = float(lost.mean()), float(Z_95 * lost.std() / math.sqrt(len(lost)))
    return Interval(mean, mean - half, mean + half)
