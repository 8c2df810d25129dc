"""Variants with their figures, and what each step of their recipes did."""

from typing import Annotated

from pydantic import AliasChoices, Field, JsonValue

from edgefleet_contract.base import Shape, Sparse
from edgefleet_contract.counted import counted
from edgefleet_contract.energy import EnergyCostView
from edgefleet_contract.lineage import Lineage
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_protocol.intervals import Interval


class StepReport(Sparse):
    """What one step did; `seconds` is the duration of this run, near 0 if it was cached.

    `log` is the step's own report, with keys of its own. `revision` is the revision of the step that ran, `digest` that
    of its output; null for variants built before these were recorded.
    """

    step: str
    config: dict[str, JsonValue]
    cached: bool
    seconds: float
    log: dict[str, JsonValue]
    revision: int | None = None
    digest: str | None = None


class GoldenSize(Shape):
    """A variant's golden set: the samples it has, of those that the card asks for and val holds, and its bytes.

    `size_bytes` counts the set with its answers. It should be within `budget_bytes`, but has four samples
    if these take no more than 256 KB, and one whatever that takes.
    """

    samples: int
    wanted: int
    held: int
    size_bytes: int
    budget_bytes: int

    @property
    def unlike_asked(self) -> str | None:
        """What is otherwise than the card asks, or larger than it should be, in one line; None if nothing is."""
        if self.size_bytes > self.budget_bytes:
            size = f"a golden set of {counted(self.samples, 'sample')} takes {self.size_bytes:,} bytes with its answers"
            return f"{size}, more than the {self.budget_bytes:,} meant for it: fewer would test too little"
        if self.samples > self.wanted:
            return f"{self.samples} golden samples are used, not {self.wanted}: a self-test takes no fewer"
        if self.samples < min(self.wanted, self.held):
            used = f"{self.samples} of {self.wanted} golden samples are used"
            return f"{used}: more would take over {self.budget_bytes:,} bytes, a tenth of the encoding or 16 KB"
        if self.samples < self.wanted:
            return f"{self.samples} of {self.wanted} golden samples are used: val holds no more"
        return None


class VariantView(Shape):
    """A variant with its figures; `score` is measured on the untouched test split, and null means not measured.

    Scores are by `measure`, and `headline` is what `headlined` names: the figure that people know the task by, over all
    of a split. `accuracy` is the score where the measure is accuracy, and null otherwise. Choices are made by
    `score_val`, or without one by `agreement_val`.
    `steps` says what each step did, with the digest of its output; `lineage` says what the variant was made from, and
    is null if it was built before this was recorded. A device whose agent lacks a feature in `needs` is deferred,
    unless there is a manifest in a form that it knows. `golden` is the size of the golden set; null if it was built
    before this was recorded. `latency_ratio` is the CPU time of one inference divided by that of the source model's
    fp32 file, timed in turn on `measured_on`.
    `energy_costs` are for the profiles that get this variant, where one variant is asked for.
    """

    id: str
    model: str
    recipe: str
    title: str
    instruction_sets: list[str]
    measure: MeasureView = ACCURACY
    score: float | None = Field(default=None, validation_alias=AliasChoices("score", "accuracy"))
    score_ci: tuple[float, float] | None = Field(default=None, validation_alias=AliasChoices("score_ci", "accuracy_ci"))
    score_val: float | None = Field(default=None, validation_alias=AliasChoices("score_val", "accuracy_val"))
    headlined: MeasureView | None = None
    headline: Interval | None = None
    headline_val: Interval | None = None
    accuracy: float | None
    accuracy_ci: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    accuracy_val: float | None
    test_samples: int | None
    agreement: float | None
    agreement_val: float | None
    p50_ms: float | None
    p95_ms: float | None
    latency_ratio: float | None = None
    measured_on: str | None
    parameters: int | None
    file_bytes: int | None
    encoding_bytes: int | None
    delivery_bytes: int
    peak_rss_mb: float | None
    mj_per_inference: float | None
    manifest: str
    runtime: dict[str, str]
    steps: tuple[StepReport, ...]
    lineage: Lineage | None
    needs: list[str]
    golden: GoldenSize | None = None
    energy_costs: tuple[EnergyCostView, ...] = ()

    @property
    def label(self) -> str:
        """The recipe and what it was made for, such as `int8 for arm-neon`."""
        made_for = ", ".join(self.instruction_sets)
        return f"{self.recipe} for {made_for}" if made_for else self.recipe
