"""The rate of a link from how frames arrive, and pace and credit from the rate."""

import math
import random

import pytest

from edgefleet_agent.flow import CREDIT_S, FIRST_CREDIT_BYTES, MOST_CREDIT_BYTES, TEST_CREDIT_BYTES, Flow
from edgefleet_protocol.chunks import STAMPS, Sending
from edgefleet_protocol.paces import UNMEASURED

SMALL, LARGE = 4096, 48 * 1024
LTE_KBPS = 5000.0


class Line:
    """A link that delivers in order; the controller's clock is far from the device's."""

    def __init__(self, flow: Flow, kbps: float, delay_s: float = 0.1, epoch_ms: int = 10**12) -> None:
        self.channel_kbps = flow.link_kbps
        self.flow, self.kbps, self.delay_s, self.epoch_ms = flow, kbps, delay_s, epoch_ms
        self.free_s = 0.0

    def send(self, size_bytes: int, at_s: float) -> float:
        self.free_s = max(self.free_s, at_s) + size_bytes * 8 / self.kbps / 1000
        stamp = (self.epoch_ms + int(at_s * 1000)) % STAMPS
        self.flow.arrived(size_bytes, Sending(stamp, round(self.channel_kbps)), self.free_s + self.delay_s)
        return self.free_s + self.delay_s


def test_a_device_that_has_seen_nothing_asks_for_two_small_chunks() -> None:
    flow = Flow(LTE_KBPS)
    assert (flow.pace, flow.credit(SMALL, 0.0), flow.credit(LARGE, 0.0)) == (UNMEASURED, TEST_CREDIT_BYTES, LARGE)
    assert flow.measured_kbps is None


@pytest.mark.parametrize("kbps", [12.0, 30.0, 64.0, 120.0])
def test_two_small_chunks_sent_together_show_a_slow_link(kbps: float) -> None:
    flow = Flow(LTE_KBPS)
    line = Line(flow, kbps)
    line.send(SMALL, 0.0)
    line.send(SMALL, 0.001)
    assert flow.rate_kbps == pytest.approx(kbps, rel=0.02)
    assert flow.credit(SMALL, 0.0) <= max(TEST_CREDIT_BYTES, kbps * 125 * CREDIT_S * 1.05)


def test_two_small_chunks_that_arrive_at_once_show_that_a_link_is_as_the_catalogue_says() -> None:
    flow = Flow(LTE_KBPS)
    line = Line(flow, 1e6)
    line.send(SMALL, 0.0)
    line.send(SMALL, 0.001)
    assert (flow.rate_kbps, flow.pace, flow.measured_kbps) == (LTE_KBPS, 8192, None)
    assert flow.credit(SMALL, 0.0) == FIRST_CREDIT_BYTES
    assert flow.credit(SMALL, 0.0, shares=4) == FIRST_CREDIT_BYTES // 4


def test_large_chunks_one_by_one_show_a_slow_link_too() -> None:
    flow = Flow(LTE_KBPS)
    line, at_s = Line(flow, 64.0), 0.0
    at_s = line.send(1500, at_s)
    for _ in range(2):
        at_s = line.send(LARGE, at_s + 0.3)
    assert flow.rate_kbps == pytest.approx(64, rel=0.1)


def test_a_machine_that_is_busy_for_a_moment_is_not_a_slow_link() -> None:
    flow, rng = Flow(90_000.0, 90_000.0), random.Random(1)
    now_s = 0.0
    for number in range(300):
        now_s = max(now_s, number * 0.005) + rng.choice([0.0001, 0.0001, 0.08])
        flow.arrived(LARGE, Sending(int(number * 5), 90_000), now_s)
        now_s = min(now_s, number * 0.005 + 0.3)
    assert flow.measured_kbps is None or flow.measured_kbps > 4_000


def test_a_small_frame_that_is_late_alone_is_not_a_slow_link() -> None:
    flow = Flow(90_000.0)
    flow.arrived(800, Sending(0, 90_000), 0.02)
    flow.arrived(SMALL, Sending(1000, 90_000), 2.3)  # the machine paused for 1.3 s
    flow.arrived(SMALL, Sending(2400, 90_000), 2.42)
    assert flow.measured_kbps is None


@pytest.mark.parametrize(("kbps", "frames"), [(90_000, 6), (1000, 3)])
def test_large_frames_that_come_at_once_show_that_a_link_is_not_slow(kbps: float, frames: int) -> None:
    flow = Flow(90_000.0, 32.0)
    line, at_s = Line(flow, kbps), 0.0
    at_s = line.send(SMALL, at_s)
    for _ in range(frames):
        assert flow.pace <= max(2 * kbps, 32)
        at_s = line.send(LARGE, at_s)
    assert flow.pace >= min(kbps, 4000) / 2


@pytest.mark.parametrize("kbps", [16.0, 30.0, 64.0, 300.0])
def test_a_slow_link_is_never_taken_for_a_fast_one(kbps: float) -> None:
    flow = Flow(LTE_KBPS, kbps)
    line, at_s = Line(flow, kbps), 0.0
    for number in range(40):
        at_s = line.send(LARGE if number % 2 else SMALL, at_s + 0.1 * (number % 5))
        assert flow.pace <= 4 * kbps


def test_a_link_that_keeps_up_is_tried_at_the_next_pace() -> None:
    flow = Flow(LTE_KBPS, 60.0)
    line, paces = Line(flow, 5000.0), [flow.pace]
    at_s = 0.0
    while flow.measured_kbps and at_s < 60:
        line.send(SMALL, at_s)
        at_s += SMALL * 8 / flow.pace / 1000
        if flow.pace != paces[-1]:
            paces.append(flow.pace)
    assert paces == [64, 128, 256, 512, 1024, 2048, 8192]


def test_credit_grows_while_nothing_waits_and_shrinks_when_frames_wait_long() -> None:
    flow = Flow(LTE_KBPS, LTE_KBPS)
    for _ in range(9):
        flow.took_in()
    assert FIRST_CREDIT_BYTES < flow.credit(SMALL, 0.0) <= MOST_CREDIT_BYTES
    grown, line = flow.credit(SMALL, 0.0), Line(flow, 400.0)
    for _ in range(4):
        line.send(LARGE, 0.0)
    assert flow.rate_kbps == pytest.approx(400, rel=0.1)
    flow.took_in()
    assert flow.credit(SMALL, 0.0) < grown / 4


def test_a_controller_whose_clock_begins_anew_does_not_look_like_a_slow_link() -> None:
    flow = Flow(LTE_KBPS, LTE_KBPS)
    line = Line(flow, 5000.0)
    line.send(SMALL, 0.0)
    line.epoch_ms = 0
    for number in range(1, 20):
        line.send(SMALL, float(number))
    assert flow.measured_kbps is None


def test_stamps_begin_again_without_harm() -> None:
    flow = Flow(LTE_KBPS, LTE_KBPS)
    line = Line(flow, 5000.0, epoch_ms=STAMPS - 500)
    for number in range(20):
        line.send(SMALL, number * 0.1)
    assert flow.measured_kbps is None


def test_a_link_is_never_taken_to_be_faster_than_the_catalogue_says() -> None:
    assert Flow(64.0, 5000.0).rate_kbps == 64.0


def test_a_channel_that_the_controller_knows_to_be_faster_is_made_use_of() -> None:
    flow = Flow(8.0)
    line, at_s = Line(flow, 20_000.0), 0.0
    line.channel_kbps = 20_000.0
    for _ in range(3):
        at_s = line.send(SMALL, at_s)
        line.send(SMALL, at_s)
    assert flow.pace == 32_768


def test_a_busy_machine_does_not_take_a_fast_link_for_one_that_carries_nothing() -> None:
    flow = Flow(90_000.0, 90_000.0)
    for _ in range(6):
        flow.took_in()
    grown = flow.credit(LARGE, 0.0)
    for number in range(600):  # it reads every two seconds, and then all that has come
        sent_s = number * 0.1
        read_s = sent_s if number < 2 else math.ceil(sent_s / 2) * 2 + 0.0001 * (number % 20)
        flow.arrived(LARGE, Sending(int(sent_s * 1000), 90_000), read_s)
        if number % 20 == 19:
            flow.took_in()
    assert flow.measured_kbps is None
    assert flow.credit(LARGE, 60.0) >= grown // 2
