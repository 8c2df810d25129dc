"""One device of a real fleet is slow: the other switches without it, and it follows once it has staged."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fleet.asking import PROFILE
from tests.fleet.conftest import Fleet, running_fleet

pytestmark = pytest.mark.fleet


@pytest.fixture
def fleet(built: Path, tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(built, tmp_path) as running:
        yield running


def test_who_is_ready_switches_and_the_slow_one_follows(fleet: Fleet) -> None:
    fleet.add_agent("fast", PROFILE)
    slow = fleet.add_agent("slow", PROFILE)
    os.kill(slow.pid, signal.SIGSTOP)
    try:
        rollout = fleet.roll_out(start_share=0.5, timers={"trial_s": 0.5, "silent_s": 300})
        fleet.wait(lambda: fleet.executions(rollout)["fast"]["phase"] == "committed", "the fast one", 60)
        shown = fleet.rollout(rollout)
        assert shown["waves"][0]["state"] == "activating", "it does not soak without the slow one"
        assert shown["waves"][0]["waits_for"] == "1 device still fetching, to switch once staged"
        assert fleet.executions(rollout)["slow"]["directive"] == "stage"
    finally:
        os.kill(slow.pid, signal.SIGCONT)
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 60)
    assert fleet.rollout(rollout)["counts"] == {"committed": 2}
    assert "2 of 2 decided devices committed" in fleet.rollout(rollout)["waves"][0]["reason"]
