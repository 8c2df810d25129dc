"""The controller's clock: what deadlines run on."""

import pytest

from edgefleet_process.clocks import SteadyClock

HOUR_S = 3600


class Machine:
    """A machine whose clock is set by hand, while its monotonic clock goes on."""

    def __init__(self, wall_s: float) -> None:
        self.wall_s, self.monotonic_s = wall_s, 500.0
        self.clock = SteadyClock(lambda: round(self.wall_s * 1e9), lambda: round(self.monotonic_s * 1e9))

    def wait(self, seconds: float) -> int:
        self.wall_s += seconds
        self.monotonic_s += seconds
        return self.clock.now_ms()


@pytest.fixture
def machine() -> Machine:
    return Machine(1_000_000)


def test_it_is_the_wall_clock_while_nobody_sets_that(machine: Machine) -> None:
    assert machine.wait(10) == 1_000_010_000
    machine.wall_s += 0.002  # as NTP does it
    assert machine.wait(1) == 1_000_011_002


@pytest.mark.parametrize("leap_s", [HOUR_S, -HOUR_S, 10 * 365 * 86_400, -10 * 365 * 86_400])
def test_a_deadline_is_off_by_a_tenth_at_most_whatever_the_wall_clock_does(machine: Machine, leap_s: float) -> None:
    before = machine.wait(1)
    machine.wall_s += leap_s
    for _ in range(60):
        assert 899 <= machine.wait(1) - before <= 1101
        before = machine.clock.now_ms()


@pytest.mark.parametrize("leap_s", [HOUR_S, -HOUR_S])
def test_it_comes_to_agree_with_a_wall_clock_that_was_set(machine: Machine, leap_s: float) -> None:
    machine.wall_s += leap_s
    for _ in range(10):
        now = machine.wait(HOUR_S)
    assert now == round(machine.wall_s * 1000)


def test_it_goes_on_from_what_was_written_down_when_the_machine_woke_in_the_past(machine: Machine) -> None:
    machine.clock.not_before(2_000_000_000)
    assert 2_000_000_900 <= machine.wait(1) <= 2_000_001_000
    machine.clock.not_before(1_500_000_000)
    assert machine.wait(0) >= 2_000_000_900


def test_after_a_sleep_that_the_monotonic_clock_does_not_count_nothing_leaps(machine: Machine) -> None:
    before = machine.clock.now_ms()
    machine.wall_s += 8 * HOUR_S  # the machine was suspended
    assert machine.clock.now_ms() == before
