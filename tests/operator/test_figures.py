"""Figures for people: as many digits as tell something, with their unit."""

import pytest

from edgefleet_operator.figures import NONE, number, progress


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (90_000.0, "90,000 kbit/s"),
        (90_000, "90,000 kbit/s"),
        (12_345.678, "12,346 kbit/s"),
        (9_999.6, "10,000 kbit/s"),
        (9_999.4, "9,999 kbit/s"),
        (1_234.5, "1,234 kbit/s"),
        (61.5, "61.5 kbit/s"),
        (0.00012345, "0.0001234 kbit/s"),
        (None, NONE),
    ],
)
def test_a_figure_has_four_digits_or_all_before_the_point(value: float | None, shown: str) -> None:
    assert number(value, "kbit/s") == shown


@pytest.mark.parametrize(
    ("done", "total", "shown"),
    [
        (30_000, 123_456, "30.0 kB of 123.5 kB in 12 s"),
        (123_456, 123_456, "123.5 kB in 12 s"),
        (123_456, None, "123.5 kB in 12 s"),
        (None, None, NONE),
    ],
)
def test_what_has_arrived_is_told_of_how_much_until_it_is_all(done: int | None, total: int | None, shown: str) -> None:
    assert progress(done, total, 12.0) == shown
