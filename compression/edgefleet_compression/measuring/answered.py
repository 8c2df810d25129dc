"""What a file answered to a split, with the split's labels; and the figures that follow from them alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from edgefleet_compression.judging import Judge, SampleScores, mean_of
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.splits.data import SplitName
from edgefleet_compression.samples import RawLabels
from edgefleet_contract.metrics import Metrics
from edgefleet_protocol.intervals import Interval
from edgefleet_tasks.step_labels import StepLabels

JUDGED: tuple[SplitName, SplitName] = ("val", "test")


@dataclass(frozen=True)
class AnsweredSplit:
    """A file's reduced answers to a split, and what is true of it; None without labels."""

    judge: Judge
    answers: Sequence[bytes]
    labels: RawLabels | StepLabels | None

    @cached_property
    def scores(self) -> SampleScores | None:
        """How right each answer is."""
        return self.judge.scores(self.answers, self.labels)

    @property
    def headline(self) -> Interval | None:
        """The figure that people know the task by."""
        return self.judge.headline(self.answers, self.labels)


def answered(source: Source, answers: Sequence[bytes], split: SplitName) -> AnsweredSplit:
    """A file's reduced answers beside the labels of the model that it was made from."""
    return AnsweredSplit(source.judge, answers, source.labels(split))


def score_figures(source: Source, val: AnsweredSplit, test: AnsweredSplit) -> Metrics:
    """How well a file answers, and on how many samples of test; all else is not measured."""
    on_val, on_test, judge = mean_of(val.scores), mean_of(test.scores), source.judge
    return Metrics(
        measure=judge.measure,
        score_val=on_val.value if on_val else None,
        score_test=on_test.value if on_test else None,
        score_test_ci=on_test.bounds if on_test else None,
        headlined=judge.headlined,
        headline_val=val.headline,
        headline_test=test.headline,
        test_samples=len(source.data.read("test")),
    )
