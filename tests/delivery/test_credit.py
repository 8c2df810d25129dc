"""Credit and paces in virtual time: what a fleet hears, and how long it takes, over links that the catalogue misjudges.

The agent's fetcher and the controller's channels are the real ones; `links` stands in for broker, network and time.
"""

import math
from collections.abc import Callable

import pytest
from tests.delivery.links import Device, Lab, Link, delivery

from edgefleet_profiles.parts import CHUNK_BYTES, THIN_CHUNK_BYTES
from edgefleet_protocol.chunks import Bitmap, chunk_count
from edgefleet_protocol.messages import ChunkRequest, Credit
from edgefleet_protocol.paces import pace_for

LTE_KBPS, LAN_KBPS = 5_000.0, 90_000.0
FAST = 20


def steady(kbps: float) -> Callable[[float], float]:
    return lambda _: kbps


def one(
    kbps: Callable[[float], float],
    channel_kbps: float,
    size_bytes: int,
    *,
    delay_s: float = 0.05,
    control: bool = False,
    known_kbps: float | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    golden_bytes: int = 100_000,
) -> Device:
    """A device alone in its fleet, at the end of its delivery, perhaps with a control message every five seconds."""
    lab = Lab(channel_kbps)
    device = Device(
        lab, "one", Link(kbps, delay_s), delivery(lab, size_bytes, chunk_bytes, golden_bytes), known_kbps=known_kbps
    )
    device.begin(0.0)
    if control:
        lab.control(device, every_s=5.0)
    lab.run(until=20_000)
    return device


def many(links: list[Link], channel_kbps: float, *, within_s: float, size_bytes: int = 328_000) -> Lab:
    """A fleet whose devices are told within some seconds."""
    lab = Lab(channel_kbps)
    stages = delivery(lab, size_bytes)
    for number, link in enumerate(links):
        Device(lab, f"device-{number}", link, stages).begin(lab.random.uniform(0, within_s))
    lab.run()
    return lab


@pytest.mark.parametrize("kbps", [16, 30, 64, 300, 1000])
def test_a_link_far_slower_than_its_channel_is_filled_and_no_more(kbps: float) -> None:
    device = one(steady(kbps), LTE_KBPS, 1_440_000 if kbps > 50 else 328_000)
    ideal_s = device.needed_bytes * 8 / kbps / 1000
    assert device.seconds <= 1.25 * ideal_s
    assert device.lab.sent_bytes <= 1.02 * device.needed_bytes
    assert device.link.sent_bytes <= 1.1 * device.needed_bytes
    assert device.fetcher.flow.rate_kbps == pytest.approx(kbps, rel=0.1)


@pytest.mark.parametrize(("kbps", "delay_s"), [(50, 0.3), (32, 0.75), (200, 0.3)])
def test_a_thin_link_with_a_long_round_trip_is_filled_though_its_first_frames_were_small(
    kbps: float, delay_s: float
) -> None:
    thin: dict[str, int] = {"chunk_bytes": THIN_CHUNK_BYTES, "golden_bytes": 3000}
    device = one(steady(kbps), kbps, 328_000, delay_s=delay_s, **thin)
    start_s = 8 * 2 * delay_s  # three rounds of subscribing and asking, and a change of pace
    assert device.seconds <= 1.15 * device.needed_bytes * 8 / kbps / 1000 + start_s
    assert device.lab.sent_bytes <= 1.02 * device.needed_bytes


def test_a_thin_link_that_comes_and_goes_is_taken_up_where_it_was() -> None:
    thin: dict[str, int] = {"chunk_bytes": THIN_CHUNK_BYTES, "golden_bytes": 3000}
    device = one(lambda at: 50 if (at + 30) % 120 < 60 else 0, 50, 328_000, delay_s=0.3, **thin)
    assert device.seconds <= 1.2 * (60 + device.needed_bytes * 8 / 50_000)
    assert device.lab.sent_bytes <= 1.02 * device.needed_bytes


@pytest.mark.parametrize("kbps", [64, 120, 200])
def test_asking_takes_little_of_a_link_of_known_rate(kbps: float) -> None:
    device = one(steady(kbps), LTE_KBPS, 1_440_000, known_kbps=kbps, chunk_bytes=THIN_CHUNK_BYTES)
    assert device.asked_bytes <= 0.06 * device.needed_bytes


@pytest.mark.parametrize("kbps", [64, 200, 1000, 5000])
def test_control_never_waits_long_behind_chunks(kbps: float) -> None:
    device = one(steady(kbps), LTE_KBPS, 1_440_000, control=True)
    assert device.worst_control_s <= 7.0  # while the rate isn't known, one chunk of 48 KB may be before it


def test_a_link_that_has_become_much_slower_is_sent_nothing_twice() -> None:
    device = one(lambda at: 1000 if at < 5 else 64, LTE_KBPS, 1_440_000, control=True)
    assert device.lab.sent_bytes <= 1.02 * device.needed_bytes
    assert device.worst_control_s <= 15


def test_a_link_that_has_become_faster_is_found_to_be() -> None:
    device = one(lambda at: 64 if at < 60 else 5000, LTE_KBPS, 1_440_000)
    assert device.seconds <= 90  # at 64 kbit/s: 190


def test_a_link_that_comes_and_goes_is_sent_nothing_twice() -> None:
    device = one(lambda at: 50 if at % 120 < 60 else 0, LTE_KBPS, 328_000, delay_s=0.3)
    assert device.lab.sent_bytes <= 1.02 * device.needed_bytes
    assert device.seconds <= 1.2 * (60 + device.needed_bytes * 8 / 50_000)


def test_a_long_round_trip_costs_no_repeats() -> None:
    device = one(steady(500), LTE_KBPS, 1_440_000, delay_s=0.75)
    assert device.lab.sent_bytes <= 1.02 * device.needed_bytes


@pytest.mark.parametrize(("channel_kbps", "slow_kbps"), [(LTE_KBPS, 30), (LAN_KBPS, 30), (LTE_KBPS, 64)])
def test_one_slow_device_holds_up_none_of_many(channel_kbps: float, slow_kbps: float) -> None:
    def fast() -> list[Link]:
        return [Link(steady(channel_kbps), 0.03) for _ in range(FAST)]

    alone = many(fast(), channel_kbps, within_s=0.5)
    mixed = many([*fast(), Link(steady(slow_kbps), 0.05)], channel_kbps, within_s=0.5)
    undisturbed_s = max(device.seconds for device in alone.devices)
    assert max(device.seconds for device in mixed.devices[:FAST]) <= 1.2 * undisturbed_s
    assert mixed.sent_bytes <= 2.2 * mixed.devices[0].needed_bytes


def test_one_broadcast_serves_all_who_are_told_within_seconds() -> None:
    lab = many([Link(steady(LAN_KBPS), 0.001) for _ in range(500)], LAN_KBPS, within_s=2.0)
    needed = lab.devices[0].needed_bytes
    assert sum(device.heard_bytes for device in lab.devices) <= 1.05 * needed * len(lab.devices)
    assert lab.sent_bytes <= 1.2 * needed


def test_a_device_that_vanishes_holds_the_others_up_for_seconds_only() -> None:
    lab = Lab(LTE_KBPS)
    stages = delivery(lab, 1_440_000)
    for number in range(5):
        Device(lab, f"device-{number}", Link(steady(LTE_KBPS), 0.03), stages).begin(0.0)
    gone = Device(lab, "gone", Link(lambda at: LTE_KBPS if at < 2 else 0, 0.03), stages)
    gone.begin(0.0)
    lab.at(30.0, lambda: setattr(gone, "done_at", math.inf))
    lab.run()
    assert max(device.seconds for device in lab.devices[:5]) <= 12


def test_many_devices_that_come_and_go_hold_the_others_up_little_longer_than_one() -> None:
    """Ten of twenty links are there for five seconds and gone for twenty, each at its own time."""
    seconds = []
    for unsteady in (1, 10):
        lab = Lab(LTE_KBPS)
        stages = delivery(lab, 1_440_000)
        for number in range(20):
            link = comes_and_goes(number) if number < unsteady else steady(600)
            Device(lab, f"device-{number}", Link(link, 0.05), stages, known_kbps=600).begin(0.0)
        lab.run()
        seconds.append(max(device.seconds for device in lab.devices[unsteady:]))
    assert seconds[1] <= 1.8 * seconds[0]


def comes_and_goes(number: int) -> Callable[[float], float]:
    return lambda now: 600.0 if (now + 7 * number) % 25 < 5 else 0.0


def test_devices_that_give_no_credit_are_served_as_before() -> None:
    lab = Lab(LTE_KBPS)
    stages = delivery(lab, 328_000)
    for number in range(20):
        device = Device(lab, f"device-{number}", Link(steady(LTE_KBPS), 0.03), stages, gives_credit=number % 2 == 0)
        device.begin(lab.random.uniform(0, 0.2))
    lab.run()
    assert lab.sent_bytes <= 2.2 * lab.devices[0].needed_bytes


@pytest.mark.parametrize("chunk_bytes", [THIN_CHUNK_BYTES, CHUNK_BYTES])
def test_a_device_that_asks_for_little_at_a_time_holds_the_others_up_for_seconds_only(chunk_bytes: int) -> None:
    lab = Lab(LTE_KBPS)
    stages = delivery(lab, 328_000, chunk_bytes)
    for number in range(5):
        Device(lab, f"device-{number}", Link(steady(LTE_KBPS), 0.03), stages).begin(0.0)
    blob, chunks = stages[2][0][0].sha256, chunk_count(328_000, chunk_bytes)

    def ask(turn: int) -> None:
        credit = Credit(pace=pace_for(LTE_KBPS), bytes_under_way=1, turn=turn)
        everything = Bitmap.full(chunks).to_text()
        request = ChunkRequest(blob=blob, lane="lte", chunk_bytes=chunk_bytes, chunks=chunks, missing=everything)
        lab.take("greedy", request.model_copy(update={"credit": credit}))
        lab.at(lab.now + 7.0, lambda: ask(turn + 1))

    ask(1)
    lab.run()
    assert max(device.seconds for device in lab.devices) <= 15  # without it: 3


def test_a_short_last_chunk_makes_nobody_wait_for_the_next() -> None:
    lab = Lab(LTE_KBPS)
    stages = delivery(lab, 700_000)
    for number in range(10):
        device = Device(lab, f"device-{number}", Link(steady(500), 0.03), stages, known_kbps=500)
        device.begin(lab.random.uniform(0, 1))
    lab.run()
    ideal_s = lab.devices[0].needed_bytes * 8 / 500_000
    assert max(device.seconds for device in lab.devices) <= 1.6 * ideal_s
