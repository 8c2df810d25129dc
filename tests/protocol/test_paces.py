"""Paces: powers of two from 16 kbit/s."""

import pytest

from edgefleet_protocol.paces import FASTEST_KBPS, is_pace, pace_for


@pytest.mark.parametrize(
    ("kbps", "pace"),
    [(0.1, 16), (16, 16), (16.1, 32), (64, 64), (64.5, 128), (5000, 8192), (1e12, FASTEST_KBPS), (float("inf"), 2**30)],
)
def test_a_rate_belongs_to_the_next_pace_above_it(kbps: float, pace: int) -> None:
    assert pace_for(kbps) == pace
    assert is_pace(pace)


@pytest.mark.parametrize("kbps", [1, 15, 17, 24, 65, FASTEST_KBPS * 2])
def test_other_rates_are_no_paces(kbps: int) -> None:
    assert not is_pace(kbps)


def test_no_pace_is_that_of_a_device_that_has_measured_nothing() -> None:
    assert is_pace(0)
