"""The demo waits as long as there is progress, and not for a wall clock."""

import sys
import time
from pathlib import Path

import pytest

from edgefleet_operator.demo.patience import wait_for
from edgefleet_operator.demo.processes import DemoProcesses
from edgefleet_operator.errors import NoAnswer, OperatorError


class Clock:
    """A clock that only waiting moves, and `slowly` times as fast, as on a busy machine."""

    def __init__(self, slowly: float = 1.0) -> None:
        self.now_s = 0.0
        self._slowly = slowly

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds * self._slowly


def wait(clock: Clock, condition, progress) -> object:
    return wait_for("six agents", condition, progress, silent_s=60, clock=clock, sleep=clock.sleep)


@pytest.mark.parametrize("slowly", [1, 20, 200])
def test_progress_however_slow_is_waited_for(slowly: float) -> None:
    clock, looks = Clock(slowly), [0]

    def condition() -> str | None:
        looks[0] += 1
        return "done" if looks[0] > 5000 else None

    assert wait(clock, condition, lambda: looks[0] // 1) == "done"
    assert clock.now_s == pytest.approx(5000 * 0.25 * slowly)


def test_without_progress_it_ends_after_the_silence_and_says_what_it_waited_for() -> None:
    clock = Clock()
    with pytest.raises(OperatorError, match=r"^six agents made no progress for 60 s$"):
        wait(clock, lambda: None, lambda: min(clock.now_s, 100))
    assert 160 <= clock.now_s <= 161


def test_a_controller_that_is_away_for_a_while_is_forgiven_and_one_that_stays_away_is_not() -> None:
    def away_until(back_s: float):
        def condition() -> str | None:
            if clock.now_s < back_s:
                raise NoAnswer("connection refused")
            return "back"

        return condition

    clock = Clock()
    assert wait(clock, away_until(50), lambda: 0) == "back"
    clock = Clock()
    with pytest.raises(OperatorError, match="no progress for 60 s"):
        wait(clock, away_until(500), lambda: 0)


def test_what_a_process_does_is_told_by_its_processor_time(tmp_path: Path) -> None:
    work = "import time\nwhile time.process_time() < 2.2: pass\ntime.sleep(600)"
    with DemoProcesses(tmp_path) as processes:
        processes.start("busy", [sys.executable, "-c", work])
        processes.start("idle", [sys.executable, "-c", "import time; time.sleep(600)"])
        until = time.monotonic() + 120
        while processes.cpu_s("busy") < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert processes.cpu_s("busy") == 2 and processes.cpu_s("idle") == 0
        processes.stop("idle")
