"""Telemetry: latency percentiles, accuracy and counts."""

from typing import Any, Literal

from edgefleet_contract.base import Shape
from edgefleet_contract.pages import Page

GroupBy = Literal["device", "model", "variant", "model_version", "hardware", "region", "link", "segment"]
Bucket = Literal["hour", "day", "none"]


class TelemetryView(Shape):
    """Telemetry of one group, merged from histograms and counts; null where nothing was measured."""

    group: dict[str, Any]
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
    accuracy: float | None
    predicted: dict[str, int]


class TelemetryPage(Page[TelemetryView]):
    """A page of telemetry.

    `reads` says what was counted: hourly roll-ups know no device, so that a question about devices is answered from
    `windows` alone. Every window measured at `windows_from_ms` or later is kept; before that only whole hours are, and
    only for questions that don't ask about devices.
    """

    reads: Literal["windows", "windows and roll-ups"]
    windows_from_ms: int
