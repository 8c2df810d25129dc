"""Telemetry: latency percentiles, scores and counts."""

from typing import Literal

from pydantic import AliasChoices, Field

from edgefleet_contract.base import Shape, Sparse
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_contract.pages import Page

GroupBy = Literal["device", "model", "variant", "model_version", "hardware", "region", "link", "segment"]
Bucket = Literal["hour", "day", "none"]


class TelemetryGroup(Sparse):
    """A group of telemetry: only the fields that it was grouped by; null if the device had not reported one."""

    device: str | None = None
    model: str | None = None
    variant: str | None = None
    model_version: int | None = None
    hardware: str | None = None
    region: str | None = None
    link: str | None = None
    segment: str | None = None


class TelemetryView(Shape):
    """Telemetry of one group, merged from histograms and counts; null means that nothing was measured.

    `score` is the mean of labelled answers' scores, by `measure`; both are null where models of several measures are in
    one group. `accuracy` is the score if the measure is accuracy. `correct` is the number of right answers that comes
    nearest to the score.

    Of the labels that count as `labelled`, `unchecked_labels` came through agents up to 0.2, which don't compare them
    with the model's classes. `refused_labels` were none that the model's task takes, and count nowhere else.
    `predicted` counts the 1,000 commonest categories of answers by name, such as classes, and the rest as `(others)`.
    """

    group: TelemetryGroup
    bucket_ms: int | None
    windows: int
    requests: int
    errors: int
    not_finite: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    labelled: int
    correct: int
    measure: MeasureView | None = ACCURACY
    score: float | None = Field(default=None, validation_alias=AliasChoices("score", "accuracy"))
    accuracy: float | None
    unchecked_labels: int = 0
    refused_labels: int = 0
    predicted: dict[str, int]


class TelemetryPage(Page[TelemetryView]):
    """A page of telemetry.

    `reads` says what was counted: hourly roll-ups don't keep devices apart, so questions about devices are answered
    from `windows` alone. All windows measured at or after `windows_from_ms` are kept; before that, only whole hours
    are, and only for questions that aren't about devices.
    """

    reads: Literal["windows", "windows and roll-ups"]
    windows_from_ms: int
