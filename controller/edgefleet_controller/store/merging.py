"""Windows and hourly roll-ups merged for reading; pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from edgefleet_contract.telemetry import Bucket, GroupBy
from edgefleet_controller.store.columns import from_row
from edgefleet_protocol.counters import Counters

GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WIDTHS_MS = (HOUR_MS, DAY_MS)
"""Roll-ups are made of hours and again of days: months are read a day at a time."""
_BUCKET_MS = {"hour": HOUR_MS, "day": DAY_MS}
FOREVER_MS = 2**48


class Origin(NamedTuple):
    """Where a measurement comes from; `device` is None in a roll-up, the rest where the device had not reported."""

    device: str | None
    region: str | None
    hardware: str | None
    link: str | None


@dataclass
class Aggregate:
    """Windows merged: counts are summed, histograms are added, percentiles read from the sum.

    `bucket_ms` is the start of the hour or day (UTC) that it covers; None when time is not kept apart.
    """

    group: dict[str, str | int | None]
    bucket_ms: int | None = None
    windows: int = 0
    counters: Counters = field(default_factory=Counters)

    @property
    def key(self) -> str:
        """What listings are ordered by: time, then group."""
        group = json.dumps(list(self.group.values()), separators=(",", ":"))
        return f"{self.bucket_ms or 0:015d}{group}"

    def merge(self, other: "Aggregate") -> None:
        """Add another aggregate."""
        self.windows += other.windows
        self.counters.add(other.counters)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a window, or a roll-up, which says of how many windows it is."""
        self.windows += row["windows"]
        self.counters.add(from_row(row))


@dataclass(frozen=True)
class Question:
    """What is asked of telemetry.

    `selects` says whether a source counts, None that all do; `segments` says which segments a source belongs to, in
    each of which it is counted. With `by_device` they must know the device, which roll-ups don't.
    """

    group_by: tuple[GroupBy, ...] = ("variant",)
    bucket: Bucket = "none"
    model: str | None = None
    version: int | None = None
    device: str | None = None
    since_ms: int = 0
    until_ms: int = FOREVER_MS
    selects: Callable[[Origin], bool] | None = None
    segments: Callable[[Origin], tuple[str, ...]] = lambda _: ()
    by_device: bool = False

    @property
    def windows_only(self) -> bool:
        """Whether roll-ups cannot answer, since they no longer know the device."""
        return self.by_device or self.device is not None or "device" in self.group_by


class Merger:
    """Takes rows and keeps one aggregate for each group."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._width_ms = _BUCKET_MS.get(question.bucket)
        self._by_segment = "segment" in question.group_by
        self._merged: dict[tuple[Any, ...], Aggregate] = {}
        self._selected: dict[Origin, tuple[str | None, ...]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row where it belongs, if anywhere."""
        source = Origin(row["device"], row["region"], row["hardware"], row["link"])
        if source not in self._selected:
            self._selected[source] = self._segments_of(source)
        for segment in self._selected[source]:
            self._into(row, segment).add(row)

    def _segments_of(self, source: Origin) -> tuple[str | None, ...]:
        """The segments in which a source counts; one None where segments are not asked for."""
        if self._question.selects and not self._question.selects(source):
            return ()
        return self._question.segments(source) if self._by_segment else (None,)

    def _into(self, row: Mapping[str, Any], segment: str | None) -> Aggregate:
        bucket = floor(row["at_ms"], self._width_ms) if self._width_ms else None
        values = tuple(segment if by == "segment" else row[by] for by in self._question.group_by)
        if (bucket, values) not in self._merged:
            group = dict(zip(self._question.group_by, values, strict=True))
            self._merged[bucket, values] = Aggregate(group, bucket)
        return self._merged[bucket, values]

    def merged(self) -> list[Aggregate]:
        """All groups, by time and name."""
        return sorted(self._merged.values(), key=lambda aggregate: aggregate.key)


class Span(NamedTuple):
    """Rows from `since_ms` up to, not including, `until_ms`: roll-ups, or windows that are in none or in one."""

    kind: Literal["hours", "days", "unrolled", "rolled"]
    since_ms: int
    until_ms: int


def spans(since_ms: int, until_ms: int, kept_from_ms: int, *, windows_only: bool, by_hour: bool = False) -> list[Span]:
    """What to read, so that every window counts once: roll-ups for whole hours and days, windows for the rest.

    Args:
        since_ms: the first millisecond asked for.
        until_ms: the first one that is not.
        kept_from_ms: a whole hour; windows measured before it may be deleted, so there an hour that is asked for
            in part is read as a whole.
        windows_only: read no roll-ups, and so only what is kept of the windows.
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


def floor(ms: int, width_ms: int) -> int:
    """The start of the hour or day (UTC) that a moment is in."""
    return ms // width_ms * width_ms


def ceiling(ms: int, width_ms: int) -> int:
    """The first start of an hour or day (UTC) that is not before a moment."""
    return -(-ms // width_ms) * width_ms
