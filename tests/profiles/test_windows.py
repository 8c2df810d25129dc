"""When a daily window of a region's local time is open, in UTC."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.errors import CatalogueError
from edgefleet_profiles.parts import Window
from edgefleet_profiles.windows import OpenSpan, check_zones, next_intervals, open_ms

HOUR_MS = 3_600_000
BERLIN, LORD_HOWE, KOLKATA = "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"
NIGHT = Window(from_minute=22 * 60, to_minute=6 * 60)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def shown(found: tuple[OpenSpan, ...]) -> list[str]:
    times = [(datetime.fromtimestamp(a / 1000, UTC), datetime.fromtimestamp(b / 1000, UTC)) for a, b in found]
    return [f"{a:%d %H:%M}-{b:%d %H:%M}" for a, b in times]


@pytest.mark.parametrize(
    ("window", "now", "expected"),
    [
        # An ordinary day: UTC is an hour behind in winter, two in summer.
        ((120, 300), "2026-01-10T12:00", ["11 01:00-11 04:00", "12 01:00-12 04:00"]),
        ((120, 300), "2026-07-10T12:00", ["11 00:00-11 03:00", "12 00:00-12 03:00"]),
        # It is open now: the interval began before.
        ((120, 300), "2026-01-10T02:00", ["10 01:00-10 04:00", "11 01:00-11 04:00"]),
        # It ends at its end, not a millisecond later.
        ((120, 300), "2026-01-10T04:00", ["11 01:00-11 04:00", "12 01:00-12 04:00"]),
        # Over midnight.
        ((1320, 360), "2026-01-10T12:00", ["10 21:00-11 05:00", "11 21:00-12 05:00"]),
        ((1320, 360), "2026-01-10T01:00", ["09 21:00-10 05:00", "10 21:00-11 05:00"]),
        ((1320, 0), "2026-01-10T12:00", ["10 21:00-10 23:00", "11 21:00-11 23:00"]),
        # On 29 March clocks skip from 02:00 to 03:00.
        ((90, 150), "2026-03-28T12:00", ["29 00:30-29 01:00", "29 23:30-30 00:30"]),
        ((150, 210), "2026-03-28T12:00", ["29 01:00-29 01:30", "30 00:30-30 01:30"]),
        ((135, 165), "2026-03-28T12:00", ["30 00:15-30 00:45", "31 00:15-31 00:45"]),
        ((1320, 360), "2026-03-28T12:00", ["28 21:00-29 04:00", "29 20:00-30 04:00"]),
        # On 25 October they show the hour from 02:00 to 03:00 twice.
        ((135, 165), "2026-10-24T12:00", ["25 00:15-25 00:45", "25 01:15-25 01:45"]),
        ((90, 210), "2026-10-24T12:00", ["24 23:30-25 02:30", "26 00:30-26 02:30"]),
        ((1320, 360), "2026-10-24T12:00", ["24 20:00-25 05:00", "25 21:00-26 05:00"]),
    ],
)
def test_a_window_opens_and_closes_by_the_regions_clocks(
    window: tuple[int, int], now: str, expected: list[str]
) -> None:
    one = Window(from_minute=window[0], to_minute=window[1])
    assert shown(next_intervals(one, BERLIN, ms(now), 2)) == expected


@pytest.mark.parametrize("timezone", [BERLIN, LORD_HOWE, KOLKATA, "America/Havana", "Africa/Cairo", "Pacific/Apia"])
@pytest.mark.parametrize("window", [(0, 1), (15, 45), (90, 150), (1320, 360), (1439, 0), (0, 1439), (601, 600)])
def test_intervals_are_what_the_clock_shows_minute_by_minute(timezone: str, window: tuple[int, int]) -> None:
    one = Window(from_minute=window[0], to_minute=window[1])
    zone = ZoneInfo(timezone)
    for month, day in ((3, 26), (4, 2), (10, 22), (10, 29)):
        begin = datetime(2026, month, day, tzinfo=UTC)
        found = next_intervals(one, timezone, int(begin.timestamp() * 1000), 30)
        for minute in range(0, 7 * 1440):
            at = begin + timedelta(minutes=minute)
            local = at.astimezone(zone)
            told, now = local.hour * 60 + local.minute, int(at.timestamp() * 1000)
            inside = window[0] <= told < window[1] if window[0] < window[1] else not window[1] <= told < window[0]
            assert inside == any(a <= now < b for a, b in found), (timezone, window, at)


def test_only_the_time_in_which_a_window_was_open_is_counted() -> None:
    since, now = ms("2026-01-10T12:00"), ms("2026-01-12T01:00")
    assert open_ms(NIGHT, BERLIN, since, now) == (8 + 4) * HOUR_MS
    assert open_ms(NIGHT, BERLIN, ms("2026-01-10T22:00"), ms("2026-01-10T23:00")) == HOUR_MS
    assert open_ms(NIGHT, BERLIN, since, since + HOUR_MS) == 0


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValidationError, match="leave the window out"):
        Window(from_minute=60, to_minute=60)


def test_an_unknown_time_zone_is_refused_with_the_regions_name() -> None:
    catalogue = load_catalogue()
    check_zones(catalogue)
    lost = catalogue.region["eu"].model_copy(update={"timezone": "Europe/Atlantis"})
    with pytest.raises(CatalogueError, match=r"region 'eu': there is no time zone 'Europe/Atlantis'"):
        check_zones(replace(catalogue, region={**catalogue.region, "eu": lost}))
