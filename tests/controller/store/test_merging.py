"""Which moment a window is of, and what is read so that every moment counts once."""

import random

import pytest
from tests.controller.store.making import T0, window

from edgefleet_controller.store.contract.rollups import DAY_MS, HOUR_MS
from edgefleet_controller.store.merging import Span, spans


@pytest.mark.parametrize(
    ("started", "trusted", "at"),
    [
        (T0 - 3 * HOUR_MS, True, T0 - 3 * HOUR_MS),
        (T0 - 3 * HOUR_MS, False, T0),
        (None, True, T0),
        (T0 + 1, True, T0),
        (T0 - 8 * DAY_MS, True, T0),
        (0, True, T0),
    ],
)
def test_when_a_window_was_measured_is_told_by_a_trusted_and_possible_clock(
    started: int | None, trusted: bool, at: int
) -> None:
    assert window(1, T0, started_ms=started, clock_trusted=trusted).at_ms == at


H = HOUR_MS


@pytest.mark.parametrize(
    ("since", "until", "kept", "read"),
    [
        (0, 3 * H, 0, [Span("hours", 0, 3 * H), Span("unrolled", 0, 3 * H)]),
        (
            H + 5,
            3 * H + 5,
            0,
            [
                Span("rolled", H + 5, 2 * H),
                Span("hours", 2 * H, 3 * H),
                Span("rolled", 3 * H, 3 * H + 5),
                Span("unrolled", H + 5, 3 * H + 5),
            ],
        ),
        (H + 5, H + 9, 0, [Span("rolled", H + 5, H + 9), Span("unrolled", H + 5, H + 9)]),
        (H + 5, H + 9, 2 * H, [Span("hours", H, 2 * H), Span("unrolled", H, 2 * H)]),
        (
            2 * H,
            3 * DAY_MS + H,
            0,
            [
                Span("hours", 2 * H, DAY_MS),
                Span("days", DAY_MS, 3 * DAY_MS),
                Span("hours", 3 * DAY_MS, 3 * DAY_MS + H),
                Span("unrolled", 2 * H, 3 * DAY_MS + H),
            ],
        ),
        (5, 5, 0, []),
        (9, 5, 0, []),
    ],
)
def test_whole_hours_and_days_are_read_from_roll_ups_and_the_rest_from_windows(
    since: int, until: int, kept: int, read: list[Span]
) -> None:
    assert spans(since, until, kept, windows_only=False) == read


def test_spans_cover_each_moment_once_for_rolled_and_once_for_unrolled_windows() -> None:
    rng = random.Random(3)
    for _ in range(500):
        since, until = rng.randint(0, 60 * H), rng.randint(0, 60 * H)
        found = spans(since, until, 0, windows_only=rng.random() < 0.3, by_hour=rng.random() < 0.3)
        for moment in (since - 1, since, until - 1, until, rng.randint(0, 60 * H)):
            asked = since <= moment < until
            within = [s.kind for s in found if s.since_ms <= moment < s.until_ms]
            assert within.count("unrolled") == asked
            assert sum(kind != "unrolled" for kind in within) == asked
