"""The metrics of a variant; None means not measured, never 0."""

from pydantic import AliasChoices, ConfigDict, Field

from edgefleet_contract.base import Shape
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_protocol.intervals import Interval


class Metrics(Shape):
    """The same figures for every variant.

    Scores are the mean of single answers' scores (0 to 1) by the task's `measure`, of the ONNX file in onnxruntime:
    choices are based on `score_val`, reports on `score_test`, with its 95 % interval `score_test_ci`; None without
    labels, or if the measure scores no single answer. `agreement_val` and `agreement` are how far the answers to val
    and test are those of the source model. `drop_val` and `drop_test` are the source model's score minus the variant's,
    each with the 95 % interval of the paired difference. `headline_val` and `headline_test` are the figure that people
    know the task by, as `headlined` says.

    Latencies are wall-clock milliseconds of one inference, batch 1, one thread, on `measured_on`, by the execution
    provider `provider`, which ran it; null in figures that older versions took, of the CPU. `latency_ratio` is
    the variant's CPU time divided by that of the source's fp32 file, measured alternately. Sizes are in bytes; memory
    is the growth of resident memory from loading and running, and of address space, both at their peaks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Until all tasks had a measure, stores and caches held scores as accuracy.
    measure: MeasureView = ACCURACY
    score_val: float | None = Field(default=None, validation_alias=AliasChoices("score_val", "accuracy_val"))
    score_test: float | None = Field(default=None, validation_alias=AliasChoices("score_test", "accuracy_test"))
    score_test_ci: tuple[float, float] | None = Field(
        default=None, validation_alias=AliasChoices("score_test_ci", "accuracy_test_ci")
    )
    headlined: MeasureView | None = None
    headline_val: Interval | None = None
    headline_test: Interval | None = None
    test_samples: int | None = None
    drop_val: float | None = None
    drop_val_ci: tuple[float, float] | None = None
    drop_test: float | None = None
    drop_test_ci: tuple[float, float] | None = None
    agreement_val: float | None = None
    agreement: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    latency_ratio: float | None = None
    measured_on: str | None = None
    provider: str | None = None
    instruction_set: str | None = None
    file_bytes: int | None = None
    encoding_bytes: int | None = None
    parameters: int | None = None
    peak_rss_mb: float | None = None
    peak_address_mb: float | None = None
    mj_per_inference: float | None = None
    build_s: float | None = None

    @property
    def accuracy_val(self) -> float | None:
        """The accuracy on val; None if the measure is another."""
        return self.score_val if self.measure.is_accuracy else None

    @property
    def accuracy_test(self) -> float | None:
        """The accuracy on test; None if the measure is another."""
        return self.score_test if self.measure.is_accuracy else None

    @property
    def accuracy_test_ci(self) -> tuple[float, float] | None:
        """The 95 % interval of the accuracy on test; None if the measure is another."""
        return self.score_test_ci if self.measure.is_accuracy else None
