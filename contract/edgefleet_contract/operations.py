"""Operations: long work that was accepted, how far it is, and what came of it."""

from typing import Literal

from pydantic import Field

from edgefleet_contract.base import Shape, Sparse

Value = str | int | float | None
"""A version, a property of a host, a digest or a figure; null where it was not recorded."""
RebuildVerdict = Literal["equal", "equal_answers", "different"]


class BuildProgress(Sparse):
    """How far something is that is being built.

    `fraction` is the share of the whole that is done, `cached` the part of it that did not run. `step_index` counts
    from 0 to `steps`, measuring included; what has no steps of its own leaves them None.
    """

    recipe: str
    fraction: float
    text: str
    step: str | None = None
    step_index: int | None = None
    steps: int | None = None
    cached: float | None = None


class StepCounts(Shape):
    """How many steps ran, and how many came from the cache."""

    run: int
    cached: int


class BuildResult(Sparse):
    """What a build or a search came to: variants by their ids, and by recipe why there is none.

    `not_applicable` are recipes that this model or these devices rule out beforehand; `constraints` says by device
    class how far a search met its bounds.
    """

    variants: list[str]
    failed: dict[str, str]
    steps: StepCounts | None = None
    not_applicable: dict[str, str] = Field(default_factory=dict)
    constraints: dict[str, str] | None = None


class Change(Shape):
    """A value when a variant was built, and now that it was made again."""

    then: Value
    now: Value


class StepChange(Shape):
    """The digests of what a step made; null where none was recorded."""

    step: str
    then: str | None
    now: str | None


class AnswerComparison(Shape):
    """How far two files of a variant answer alike to all samples of test; the largest difference is one of logits."""

    samples: int
    same_top1: int
    largest_difference: float


class RebuildResult(Shape):
    """What came of making a variant again: the verdict, why, and what has changed since it was built.

    `changed` names libraries and properties of the host; `onnx` and `encoding` are digests; `answers` is null where the
    former file is not there any more.
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


class OperationRecord(Shape):
    """Long work that was accepted: how far it is, and how it ended."""

    id: str
    kind: str
    target: str
    state: Literal["running", "succeeded", "failed"] = "running"
    progress: list[BuildProgress] = Field(default_factory=list)
    result: BuildResult | RebuildResult | None = None
    error: str | None = None
    created_ms: int
    changed_ms: int

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state != "running"
