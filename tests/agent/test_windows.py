"""When a device may fetch and switch: by its own clock if that is trusted, else by the controller's word."""

import random
from pathlib import Path
from typing import Any

import pytest

from edgefleet_agent.errors import Rejected
from edgefleet_agent.fetch import Fetcher
from edgefleet_agent.sinks import MemorySink
from edgefleet_agent.windows import DeviceWindows, may
from edgefleet_protocol import topics
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.chunks import frame
from edgefleet_protocol.manifest import BlobRef
from edgefleet_protocol.messages import DesiredState, Opening, OpenInterval

TEN, TWENTY = OpenInterval(from_ms=10_000, to_ms=11_000), OpenInterval(from_ms=20_000, to_ms=21_000)
SOON = Opening(intervals=(TEN, TWENTY))
DATA = random.Random(1).randbytes(3000)
BLOB = BlobRef(sha256=digest(DATA), size_bytes=len(DATA))


def said(opening: Opening | None, **more: Any) -> DesiredState:
    return DesiredState(fetch=opening, **more)


@pytest.mark.parametrize(
    ("opening", "now_ms", "word_s", "allowed"),
    [
        (None, None, 0, True),
        (SOON, 9_999, 100, False),
        (SOON, 10_000, 0, True),
        (SOON, 11_000, 100, False),
        (SOON, 20_500, 0, True),
        # It was out of reach for so long that its intervals have passed.
        (SOON, 21_000, 0, False),
        (SOON, 21_000, 1, True),
        (SOON, None, 0, False),
        (SOON, None, 1, True),
        (Opening(), 10_000, 0, False),
    ],
)
def test_a_trusted_clock_decides_by_the_intervals_and_any_other_by_the_controllers_word(
    opening: Opening | None, now_ms: int | None, word_s: float, allowed: bool
) -> None:
    assert may(opening, now_ms, word_s) is allowed


def test_the_controllers_word_holds_for_as_long_as_it_says(tmp_path: Path, clock: Any) -> None:
    windows = DeviceWindows(tmp_path, now_ms=lambda: None, clock=clock)
    assert windows.may("fetch")
    windows.hear(said(Opening(intervals=(TEN,), open_s=5)), retained=False)
    assert windows.may("fetch")
    clock.now_s += 4.9
    assert windows.may("fetch")
    clock.now_s += 1.1
    assert not windows.may("fetch")
    assert windows.may("switch"), "no window was given for it"


def test_an_old_word_that_the_broker_retained_opens_nothing(tmp_path: Path, clock: Any) -> None:
    windows = DeviceWindows(tmp_path, now_ms=lambda: None, clock=clock)
    windows.hear(said(Opening(intervals=(TEN,), open_s=5)), retained=True)
    assert not windows.may("fetch")


def test_a_device_keeps_its_intervals_over_a_restart_but_no_word(tmp_path: Path, clock: Any) -> None:
    now: list[int | None] = [10_500]
    DeviceWindows(tmp_path, clock=clock).hear(said(SOON.model_copy(update={"open_s": 60.0})), retained=False)
    again = DeviceWindows(tmp_path, now_ms=lambda: now[0], clock=clock)
    assert again.may("fetch")
    clock.now_s += 1
    now[0] = 15_000
    assert not again.may("fetch")
    clock.now_s += 1
    now[0] = None
    assert not again.may("fetch")


def test_windows_that_cannot_be_read_are_closed_until_the_controller_speaks(tmp_path: Path, clock: Any) -> None:
    (tmp_path / "windows.json").write_text("half a li")
    windows = DeviceWindows(tmp_path, clock=clock)
    assert not windows.may("fetch")
    windows.hear(said(None), retained=True)
    assert windows.may("fetch")


def test_the_file_is_written_only_when_the_intervals_change(tmp_path: Path, clock: Any) -> None:
    windows = DeviceWindows(tmp_path, clock=clock)
    windows.hear(said(None), retained=False)
    assert not (tmp_path / "windows.json").exists()
    windows.hear(said(SOON), retained=False)
    before = (tmp_path / "windows.json").stat().st_mtime_ns
    windows.hear(said(SOON.model_copy(update={"open_s": 3.0})), retained=False)
    assert (tmp_path / "windows.json").stat().st_mtime_ns == before


class Run:
    """A fetch of DATA by a device whose window a test opens and closes."""

    def __init__(self, wire: Any, clock: Any, *, is_open: bool, at_once: bool = False) -> None:
        self.is_open, self.clock, self.wire = is_open, clock, wire
        self.fetcher = Fetcher(wire, "lte", 60.0, lambda: self.is_open, draw=lambda: 0.0, clock=clock)
        self.sink = MemorySink(BLOB)
        self.ended: list[Rejected | None] = []
        self.fetcher.start(self.sink, lambda: self.ended.append(None), self.ended.append, at_once=at_once)

    def tick(self, seconds: float = 1.0) -> None:
        self.clock.now_s += seconds
        self.fetcher.tick()

    def confirm(self) -> None:
        self.fetcher.listening(topics.blob(BLOB.sha256, "lte"))


def test_a_device_asks_for_nothing_outside_its_window_and_does_not_give_up(wire: Any, clock: Any) -> None:
    run = Run(wire, clock, is_open=False)
    run.fetcher.connected()
    for _ in range(10):
        run.tick(60)
    assert (wire.topics, wire.wants, run.ended) == ([], [], [])
    assert run.fetcher.is_held(run.sink)
    run.is_open = True
    run.tick()
    run.confirm()
    run.tick()
    assert (len(wire.topics), len(wire.wants)) == (1, 1)
    run.fetcher.chunk(wire.topics[0], frame(0, DATA))
    assert run.ended == [None]


def test_a_window_that_closes_stops_a_fetch_and_one_that_opens_goes_on_with_it(wire: Any, clock: Any) -> None:
    run = Run(wire, clock, is_open=True)
    run.confirm()
    run.tick()
    run.is_open = False
    run.tick()
    assert wire.left == wire.topics
    run.tick(300)
    assert (len(wire.wants), run.ended) == (1, [])
    run.is_open = True
    run.tick()
    run.confirm()
    run.tick()
    assert len(wire.wants) == 2
    run.tick(61)
    assert [error.reason for error in run.ended if error] == ["download_stalled"], "the stall counts open time"


def test_a_rollback_fetches_at_once(wire: Any, clock: Any) -> None:
    run = Run(wire, clock, is_open=False, at_once=True)
    run.confirm()
    run.tick()
    assert len(wire.wants) == 1
