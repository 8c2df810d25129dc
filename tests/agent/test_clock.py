"""Clocks that are wrong: windows are dated by the clock that they end with."""

from edgefleet_agent.recent import Key
from edgefleet_agent.telemetry import Recorder
from edgefleet_agent.worker_handle import AnswerCount

KEY = Key("fashion", 1, "f" * 64, 1)


class Board:
    """A board whose wall clock is set by hand."""

    def __init__(self) -> None:
        self.monotonic_s, self.wall_ms = 0.0, 0
        self.recorder = Recorder(lambda: self.monotonic_s, lambda: self.wall_ms)

    def wait(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.wall_ms += round(seconds * 1000)


def test_a_window_that_began_in_1970_and_ended_after_the_clock_was_set_is_dated_by_the_clock_that_was_set() -> None:
    board = Board()
    board.recorder.answered(KEY, "r", 0.01, AnswerCount(("cat",), b"1"), "")
    board.wait(20)
    board.wall_ms = 1_800_000_000_000
    board.wait(10)
    [window] = board.recorder.close()
    assert (window.duration_ms, window.started_ms) == (30_000, 1_799_999_980_000)


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    board = Board()
    board.wait(1000)
    board.recorder.answered(KEY, "r", 0.01, AnswerCount(("cat",), b"1"), "")
    board.wait(20)
    board.wall_ms = 5_000
    [window] = board.recorder.close()
    assert (window.duration_ms, window.started_ms) == (20_000, 0)
