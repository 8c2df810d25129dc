"""Variants, with their figures, and what each step of their recipes did."""

from typing import Annotated

from pydantic import Field, JsonValue

from edgefleet_contract.base import Shape, Sparse
from edgefleet_contract.lineage import Lineage


class StepReport(Sparse):
    """What one step did; `seconds` are those of this run, next to none where it was cached.

    `log` is what the step says of itself, in keys of its own. `revision` is the step's when it ran, `digest` that of
    the state that it made; None for variants that were built before these were kept.
    """

    step: str
    config: dict[str, JsonValue]
    cached: bool
    seconds: float
    log: dict[str, JsonValue]
    revision: int | None = None
    digest: str | None = None


class VariantView(Shape):
    """A variant with its figures: accuracy is that of the untouched test split; null means not measured.

    `steps` say what each step did, with the digest of what it made; `lineage` what all of it was made of and with, null
    where it was built before that was kept. A device whose agent lacks one of the features in `needs` is deferred.
    """

    id: str
    model: str
    recipe: str
    title: str
    instruction_sets: list[str]
    accuracy: float | None
    accuracy_ci: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    accuracy_val: float | None
    test_samples: int | None
    agreement: float | None
    agreement_val: float | None
    p50_ms: float | None
    p95_ms: float | None
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

    @property
    def label(self) -> str:
        """`int8 for arm-neon`."""
        made_for = ", ".join(self.instruction_sets)
        return f"{self.recipe} for {made_for}" if made_for else self.recipe
