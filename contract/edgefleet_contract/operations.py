"""Operations: long-running work, its progress and its result."""

from typing import Literal

from pydantic import Field

from edgefleet_contract.base import Shape, Sparse
from edgefleet_contract.measures import ACCURACY, MeasureView

Value = str | int | float | None
"""A version, a property of a host, a digest or a figure; null if it was not recorded."""
RebuildVerdict = Literal["equal", "equal_answers", "different"]


class BuildProgress(Sparse):
    """The progress of one recipe or other part of a build.

    `fraction` is the share that is done, `cached` the part of it that came from the cache. `step_index` counts from 0
    to `steps`, including measuring; both are None for work without steps.
    """

    recipe: str
    fraction: float
    text: str
    step: str | None = None
    step_index: int | None = None
    steps: int | None = None
    cached: float | None = None


class StepCounts(Shape):
    """How many steps ran, and how many were taken from the cache."""

    run: int
    cached: int


class VersionComparison(Sparse):
    """How this version answers its own val samples, beside the version before it: the source models of both.

    Scores are by `measure`, and `gain` is by how much this version's is higher, with the 95 % interval of the paired
    difference; null without labels. `disagreement` is how far both differ: of classes, on which share of samples.
    `not_compared` says why they could not be asked the same; there are no figures then.
    """

    before: str
    asked: Literal["source models"] = "source models"
    measure: MeasureView = ACCURACY
    samples: int | None = None
    disagreement: float | None = None
    score: float | None = None
    score_before: float | None = None
    gain: float | None = None
    gain_ci: tuple[float, float] | None = None
    not_compared: str | None = None


class BuildResult(Sparse):
    """The result of a build or a search: the ids of variants, and why a recipe failed, by recipe.

    `not_applicable` lists recipes that don't suit this model or these devices, and why; `constraints` says, by device
    class, how far a search met its bounds. `compared` is null for the first version of a model.
    """

    variants: list[str]
    failed: dict[str, str]
    steps: StepCounts | None = None
    not_applicable: dict[str, str] = Field(default_factory=dict)
    constraints: dict[str, str] | None = None
    compared: VersionComparison | None = None


class Change(Shape):
    """A value when the variant was first built, and its value after the rebuild."""

    then: Value
    now: Value


class StepChange(Shape):
    """The digests of a step's output; null if none was recorded."""

    step: str
    then: str | None
    now: str | None


class AnswerComparison(Shape):
    """How far two files of a variant agree on all test samples, by the task's measure; null if an older one said it.

    `same_top1` is how many have the same class on top, null for any other task. `largest_difference` is that of any
    number of any output, by the largest of its output above 1; null if anything else differs, such as a shape.
    """

    samples: int
    agreement: float | None = None
    same_top1: int | None
    largest_difference: float | None


class RebuildResult(Shape):
    """The result of rebuilding a variant: the verdict, the reasons, and what has changed since it was first built.

    `changed` names libraries and properties of the host; `onnx` and `encoding` are digests; `answers` is null if the
    first file no longer exists.
    """

    variant: str
    verdict: RebuildVerdict
    reasons: list[str]
    changed: dict[str, Change]
    steps: list[StepChange]
    answers: AnswerComparison | None
    onnx: Change
    encoding: Change
    figures: dict[str, Change]


OperationState = Literal["running", "succeeded", "failed", "cancelled"]


class OperationRecord(Shape):
    """Long-running work: its progress, and how it ended.

    One that waits for its turn is `running`, too. `error` says why it failed or was cancelled; `changed_ms` is when.
    """

    id: str
    kind: str
    target: str
    state: OperationState = "running"
    progress: list[BuildProgress] = Field(default_factory=list)
    result: BuildResult | RebuildResult | None = None
    error: str | None = None
    created_ms: int
    changed_ms: int

    @property
    def ended(self) -> bool:
        """Whether the operation succeeded, failed or was cancelled."""
        return self.state != "running"
