"""Reduced answers to a split judged by the model's task: how right they are, and how far two files answer alike."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.measures import headlined_by, measure_of
from edgefleet_contract.measures import MeasureView
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.spec import Spec
from edgefleet_tasks.finite_outputs import check_finite, places_read
from edgefleet_tasks.intervals import Z_95, mean_score
from edgefleet_tasks.step_labels import StepLabels
from edgefleet_tasks.task import Outputs, Task, TruthByAnswers

Answers = Sequence[bytes]
SampleScores = NDArray[np.float64]
"""float64 [samples], from 0 to 1."""


@dataclass(frozen=True)
class Judge:
    """The task of a model, and what is known of its answers.

    Attributes:
        task: the task.
        spec: of the source model, whatever file is judged.
        outputs: what applications call the outputs, for messages.
    """

    task: Task[Any]
    spec: Spec
    outputs: tuple[str, ...] = ()

    def scores(self, answers: Answers, labels: Iterable[Any] | None) -> SampleScores | None:
        """How right the answer to each sample is, to a sequence on average.

        None without labels, or if single answers of this task have no score.

        Args:
            answers: one for each sample, or each step of one that is a sequence.
            labels: as the data has them, checked before.
        """
        if labels is None or not self.task.scores_alone:
            return None
        scores = [self.task.score(answer, label, self.spec) for answer, label in self._labelled(answers, labels)]
        return labels.means(scores) if isinstance(labels, StepLabels) else np.array(scores, np.float64)

    def _labelled(self, answers: Answers, labels: Iterable[Any]) -> Iterator[tuple[bytes, Any]]:
        for answer, label in zip(answers, labels, strict=True):
            if label is not None:
                yield answer, self.task.label(label, self.spec)

    def reduced(self, answers: Iterable[Outputs]) -> list[bytes]:
        """Answers, sample by sample, reduced.

        Raises:
            ValueError: an output that the task reads is not finite, or not of the task.
        """
        return [one for outputs in answers for one in self._reduced(outputs)]

    def _reduced(self, outputs: Outputs) -> list[bytes]:
        check_finite(outputs, places_read(self.task, self.spec, len(outputs)), self.outputs)
        return self.task.reduce(outputs, self.spec)

    def agreements(self, one: Answers, other: Answers) -> SampleScores:
        """How far two files answer alike, sample by sample."""
        pairs = zip(one, other, strict=True)
        return np.array([self.task.agree(a, b, self.spec) for a, b in pairs], np.float64)

    def agreement(self, one: Answers, other: Answers) -> float:
        """How far two files answer alike, from 0 to 1, on average."""
        return float(self.agreements(one, other).mean())

    @property
    def measure(self) -> MeasureView:
        """What scores are by."""
        return measure_of(self.task)

    @property
    def headlined(self) -> MeasureView:
        """What the headline figure is."""
        return headlined_by(self.task)

    def headline(self, answers: Answers, labels: Iterable[Any] | None) -> Interval | None:
        """The figure that people know the task by; None without labels, or if these have none."""
        if labels is None:
            return None
        try:
            found = list(self._labelled(answers, labels))
            return self.task.headline([answer for answer, _ in found], [label for _, label in found], self.spec)
        except ValueError:  # one class only, or a single sample
            return None

    def headline_by(self, truth: Answers, answers: Answers) -> Interval | None:
        """The headline figure of answers with another file's as the truth; None where the task has none such."""
        task = self.task
        if not isinstance(task, TruthByAnswers):
            return None
        try:
            return self.task.headline(answers, [task.truth(one, self.spec) for one in truth], self.spec)
        except ValueError:  # nothing is true of any sample
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
