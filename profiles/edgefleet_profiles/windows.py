"""Daily windows as intervals of UTC, whatever the local clock does: pure rules that take `now`."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edgefleet_profiles.catalogue import Catalogue
from edgefleet_profiles.errors import CatalogueError
from edgefleet_profiles.parts import Window

DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)


class OpenSpan(NamedTuple):
    """From one instant until another, which is no part of it; both in milliseconds UTC."""

    from_ms: int
    to_ms: int


def check_zones(catalogue: Catalogue) -> None:
    """Check that the time zones of all regions are known here; devices need not know them.

    Raises:
        CatalogueError: one isn't.
    """
    for region in catalogue.region.values():
        try:
            ZoneInfo(region.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise CatalogueError(
                f"region '{region.name}': there is no time zone '{region.timezone}': "
                "write a name of the IANA database, such as Europe/Berlin"
            ) from None


def intervals(window: Window, timezone: str, now_ms: int) -> Iterator[OpenSpan]:
    """The intervals in which the window is open, in order; the first contains `now_ms` or follows it. Endless.

    The window is open while the region's clocks show a time within it. An hour that they skip is in no window; one
    that they show twice is in it twice.
    """
    zone = ZoneInfo(timezone)
    day = _at(now_ms).astimezone(zone).date() - DAY
    open_from: int | None = None
    for edge_ms, opens in _edges_from(window, timezone, day):
        if opens and open_from is None:
            open_from = edge_ms
        elif not opens and open_from is not None:
            if edge_ms > now_ms:
                yield OpenSpan(open_from, edge_ms)
            open_from = None


def next_intervals(window: Window, timezone: str, now_ms: int, count: int) -> tuple[OpenSpan, ...]:
    """The first `count` of `intervals`."""
    return tuple(islice(intervals(window, timezone, now_ms), count))


def open_ms(window: Window, timezone: str, since_ms: int, now_ms: int) -> int:
    """For how many milliseconds from `since_ms` until `now_ms` the window was open."""
    total_ms = 0
    for interval in intervals(window, timezone, since_ms):
        if interval.from_ms >= now_ms:
            return total_ms
        total_ms += min(interval.to_ms, now_ms) - max(interval.from_ms, since_ms)
    return total_ms


def _edges_from(window: Window, timezone: str, day: date) -> Iterator[tuple[int, bool]]:
    while True:
        yield from _edges(window, timezone, day)
        day += DAY


@lru_cache(maxsize=10_000)
def _edges(window: Window, timezone: str, day: date) -> tuple[tuple[int, bool], ...]:
    """The instants of a local day at which the window may open or close, and whether it is open from then on."""
    zone = ZoneInfo(timezone)
    begin, end = (datetime.combine(at, time(), zone).astimezone(UTC) for at in (day, day + DAY))
    found = {begin, *_shifts(zone, begin, end)}
    for minute in (window.from_minute, window.to_minute):
        local = datetime.combine(day, time(minute // 60, minute % 60), zone)
        found |= {local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
    return tuple((_ms(at), _contains(window, at.astimezone(zone))) for at in sorted(found) if begin <= at < end)


def _shifts(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """When the clocks are changed between two instants, to the minute; at most once."""
    before = begin.astimezone(zone).utcoffset()
    if end.astimezone(zone).utcoffset() == before:
        return
    while end - begin > _MINUTE:
        middle = begin + (end - begin) // (2 * _MINUTE) * _MINUTE
        if middle.astimezone(zone).utcoffset() == before:
            begin = middle
        else:
            end = middle
    yield end


def _contains(window: Window, local: datetime) -> bool:
    minute = local.hour * 60 + local.minute
    if window.from_minute < window.to_minute:
        return window.from_minute <= minute < window.to_minute
    return minute >= window.from_minute or minute < window.to_minute


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
