"""Merging windows and roll-ups to answer questions; pure."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from edgefleet_contract.telemetry import GroupBy
from edgefleet_controller.store.contract.aggregates import Aggregate, Origin, Question
from edgefleet_controller.store.contract.rollups import DAY_MS, HOUR_MS, ceiling, floor
from edgefleet_protocol.counters import Counters

WIDTHS_MS = (HOUR_MS, DAY_MS)
"""Roll-ups cover hours, and again whole days, so that months are read a day at a time."""
UNKNOWN = ""
"""In a roll-up, the hardware, region or link of a device that had not reported yet; no real one has this name."""
_BUCKET_MS = {"hour": HOUR_MS, "day": DAY_MS}
_OF_ORIGIN: tuple[GroupBy, ...] = ("device", "hardware", "region", "link")


class RollupKey(NamedTuple):
    """What a roll-up covers."""

    width_ms: int
    start_ms: int
    model: str
    model_version: int
    variant: str
    hardware: str
    region: str
    link: str


class Measured(NamedTuple):
    """A window, or a roll-up of `windows` windows; its counters are read only if it counts."""

    origin: Origin
    model: str
    model_version: int
    variant: str
    at_ms: int
    windows: int
    counters: Callable[[], Counters]


class Merger:
    """Takes measurements, and keeps one aggregate per group."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._width_ms = _BUCKET_MS.get(question.bucket)
        self._by_segment = "segment" in question.group_by
        self._values = [_reader(by) for by in question.group_by]
        self._merged: dict[tuple[int | None, tuple[Any, ...]], Aggregate] = {}
        self._selected: dict[Origin, tuple[str | None, ...]] = {}

    def add(self, measured: Measured) -> None:
        """Add a measurement to its group or groups, if it has any."""
        if measured.origin not in self._selected:
            self._selected[measured.origin] = self._segments_of(measured.origin)
        for segment in self._selected[measured.origin]:
            aggregate, counters = self._into(measured, segment), measured.counters()
            aggregate.add(measured.windows, counters)
            of = measured.model, measured.model_version
            aggregate.labels[of] = aggregate.labels.get(of, 0) + counters.scored.n

    def _segments_of(self, source: Origin) -> tuple[str | None, ...]:
        """The segments in which an origin counts; (None,) if segments are not asked for."""
        if self._question.selects and not self._question.selects(source):
            return ()
        return self._question.segments(source) if self._by_segment else (None,)

    def _into(self, measured: Measured, segment: str | None) -> Aggregate:
        bucket = floor(measured.at_ms, self._width_ms) if self._width_ms else None
        values = tuple(segment if read is None else read(measured) for read in self._values)
        if (bucket, values) not in self._merged:
            group = dict(zip(self._question.group_by, values, strict=True))
            self._merged[bucket, values] = Aggregate(group, bucket)
        return self._merged[bucket, values]

    def merged(self) -> list[Aggregate]:
        """All groups, ordered by time and name."""
        return sorted(self._merged.values(), key=lambda aggregate: aggregate.key)


def _reader(by: GroupBy) -> Callable[[Measured], Any] | None:
    """The function that reads a group's value; None for segments, which measurements don't have."""
    if by == "segment":
        return None
    return attrgetter(f"origin.{by}" if by in _OF_ORIGIN else by)


class Span(NamedTuple):
    """Rows from `since_ms` up to but excluding `until_ms`: roll-ups of a kind, or windows that are rolled up or not."""

    kind: Literal["hours", "days", "unrolled", "rolled"]
    since_ms: int
    until_ms: int


def spans(since_ms: int, until_ms: int, kept_from_ms: int, *, windows_only: bool, by_hour: bool = False) -> list[Span]:
    """What to read, so that every window counts once: roll-ups for whole hours and days, windows for the rest.

    Args:
        since_ms: the first millisecond to read.
        until_ms: the first millisecond not to read.
        kept_from_ms: the start of an hour; windows measured before it may be deleted, so before it hours are read
            whole even if only a part is asked for.
        windows_only: read no roll-ups, only the windows that are kept.
        by_hour: read no roll-ups of days.
    """
    if windows_only:
        found = [Span("unrolled", since_ms, until_ms), Span("rolled", since_ms, until_ms)]
    else:
        if since_ms < kept_from_ms:
            since_ms = floor(since_ms, HOUR_MS)
        if until_ms < kept_from_ms:
            until_ms = ceiling(until_ms, HOUR_MS)
        first, last = ceiling(since_ms, HOUR_MS), floor(until_ms, HOUR_MS)
        day, days = (last, last) if by_hour else (ceiling(first, DAY_MS), floor(last, DAY_MS))
        found = [
            Span("rolled", since_ms, min(first, until_ms)),
            Span("hours", first, min(day, last)),
            Span("days", day, days),
            Span("hours", max(day, days), last),
            Span("rolled", max(first, last), until_ms),
            Span("unrolled", since_ms, until_ms),
        ]
    return [span for span in found if span.since_ms < span.until_ms]


def spans_of(question: Question, kept_from_ms: int) -> list[Span]:
    """What to read to answer a question; see `spans`."""
    return spans(
        question.since_ms,
        question.until_ms,
        kept_from_ms,
        windows_only=question.windows_only,
        by_hour=question.bucket == "hour",
    )
