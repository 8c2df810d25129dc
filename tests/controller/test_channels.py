"""Channels: each wanted chunk once, in order, in turn, and no faster than the link."""

import random
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import pytest

from edgefleet_controller.delivery.broadcast import LARGE_BYTES
from edgefleet_controller.delivery.channels import (
    BURST_S,
    GATHER_S,
    LONGER,
    MAX_BLOBS,
    MAX_CHUNKS,
    MOST_GATHER_S,
    PAUSES,
    Channels,
    Send,
    Wait,
    Want,
)
from edgefleet_protocol.chunks import Bitmap
from edgefleet_protocol.messages import Credit
from edgefleet_protocol.topics import Lane

WIFI = Lane("wifi")
A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
CHUNK = 1000
FAST = 8_000.0  # kbit/s: one chunk of 1,000 bytes takes 1 ms


def want(
    channels: Channels,
    now: float,
    missing: Iterable[int],
    *,
    blob: str = A,
    chunks: int = 10,
    channel: str = "wifi",
    rate: float = FAST,
) -> None:
    channels.want(Want(channel, rate, blob, CHUNK, chunks * CHUNK, Bitmap.of(chunks, missing)), now)


def run(
    channels: Channels, now: float, until: float = 1e9, sends: int = 10**9
) -> tuple[list[tuple[float, Send]], float]:
    """Send all that is due, as a pacer on an ideal machine would; what was sent when, and the time afterwards."""
    sent: list[tuple[float, Send]] = []
    while len(sent) < sends:
        due = channels.next(now)
        if isinstance(due, Wait):
            if due.until is None or due.until > until:
                break
            now = due.until
            continue
        sent.append((now, due))
        channels.settle(due, CHUNK, now)
    return sent, now


def quiet_s(chunks: int, gather_s: float = GATHER_S, joining_s: float = 0.0) -> float:
    """For how long nobody must have joined, after `joining_s` of joining, before a blob of so many chunks is sent."""
    return gather_s * (1 + LONGER * min(1, chunks * CHUNK / LARGE_BYTES)) + PAUSES * joining_s


def indexes(sent: list[tuple[float, Send]], blob: str = A) -> list[int]:
    return [send.index for _, send in sent if send.blob == blob]


def test_nothing_is_due_before_somebody_wants_something() -> None:
    assert Channels().next(5.0) == Wait(None)


def test_wants_of_a_short_window_become_one_broadcast_in_index_order() -> None:
    channels = Channels(gather_s=0.15)
    want(channels, 10.0, [7, 3])
    want(channels, 10.1, [3, 1])
    want(channels, 10.14, [7, 9])
    due = channels.next(10.14)
    assert isinstance(due, Wait)
    assert due.until == pytest.approx(10.14 + quiet_s(10, gather_s=0.15, joining_s=0.14))
    sent, _ = run(channels, 10.14)
    assert indexes(sent) == [1, 3, 7, 9]
    assert sent[0][0] == due.until


def test_a_broadcast_waits_for_those_who_keep_joining_and_not_for_ever() -> None:
    channels = Channels()
    joined = [10 + number * 0.04 for number in range(200)]
    assert joined[-1] > 10 + MOST_GATHER_S
    for now in joined:
        want(channels, now, range(10))
    sent, _ = run(channels, 10.0)
    assert indexes(sent) == list(range(10))
    assert sent[0][0] == 10 + MOST_GATHER_S


def test_a_listener_that_asks_again_puts_off_nothing() -> None:
    channels = Channels()
    asks = Want(
        "wifi",
        FAST,
        A,
        CHUNK,
        10 * CHUNK,
        Bitmap.of(10, range(10)),
        device="one",
        credit=Credit(pace=1024, bytes_under_way=10 * CHUNK, turn=1),
    )
    for number in range(20):
        channels.want(asks, 10 + number * 0.04)
    sent, _ = run(channels, 10.0)
    assert sent[0][0] == 10 + quiet_s(10)


def test_the_same_chunk_is_due_until_it_is_settled() -> None:
    channels = Channels(gather_s=0)
    want(channels, 0.0, [4, 5])
    assert channels.next(0.0) == channels.next(0.3) == Send(WIFI, A, 4, CHUNK, FAST)
    channels.settle(Send(WIFI, A, 4, CHUNK, FAST), CHUNK, 0.3)
    assert channels.next(1.0) == Send(WIFI, A, 5, CHUNK, FAST)


def test_a_chunk_wanted_again_while_it_waits_is_sent_once() -> None:
    channels = Channels()
    want(channels, 0.0, range(10))
    _, now = run(channels, 0.0, sends=5)
    want(channels, now, range(5, 10))
    sent, _ = run(channels, now)
    assert indexes(sent) == [5, 6, 7, 8, 9]


def test_a_chunk_wanted_again_just_after_it_left_is_not_sent_again() -> None:
    channels = Channels(gather_s=0)
    want(channels, 0.0, range(10))
    _, now = run(channels, 0.0)
    want(channels, now + 0.05, range(10))
    assert channels.next(now + 0.05) == Wait(None)


def test_a_chunk_that_was_lost_is_sent_again_later() -> None:
    channels = Channels()
    want(channels, 0.0, range(10))
    _, now = run(channels, 0.0)
    want(channels, now + 1, [4])
    sent, _ = run(channels, now + 1)
    assert indexes(sent) == [4]


def test_on_a_thin_link_the_grace_is_as_long_as_its_chunks_take() -> None:
    channels = Channels(gather_s=0)
    want(channels, 0.0, [0], rate=8.0)  # a second a chunk
    run(channels, 0.0)
    want(channels, 1.9, [0], rate=8.0)
    assert channels.next(1.9) == Wait(None)
    want(channels, 2.2, [0], rate=8.0)
    assert channels.next(2.2) == Send(WIFI, A, 0, CHUNK, 8.0)


def test_a_late_joiner_gets_the_beginning_after_the_end_and_nobody_waits() -> None:
    channels = Channels()
    want(channels, 0.0, range(1000), chunks=1000)
    _, now = run(channels, 0.0, sends=600)
    want(channels, now, range(1000), chunks=1000)
    sent, _ = run(channels, now)
    last_grace = 600 - 102  # what left within the grace, 0.1 s and two chunks, counts as on its way
    assert indexes(sent)[:400] == list(range(600, 1000))
    assert indexes(sent)[400:] == list(range(last_grace))


def test_blobs_of_one_lane_take_turns() -> None:
    channels = Channels()
    want(channels, 0.0, range(10), blob=A)
    want(channels, 0.0, range(2), blob=B)
    want(channels, 0.0, range(4), blob=C)
    sent, _ = run(channels, 0.0)
    order = "".join({A: "a", B: "b", C: "c"}[send.blob] for _, send in sent)
    assert order == "abcabcacacaaaaaa"


def test_a_small_blob_on_a_busy_lane_does_not_wait_for_the_large_one() -> None:
    channels = Channels()
    want(channels, 0.0, range(5000), chunks=5000)
    _, now = run(channels, 0.0, sends=100)
    want(channels, now, [0], blob=B, chunks=1)
    sent, _ = run(channels, now, until=now + GATHER_S + 0.0021)
    assert indexes(sent, B) == [0]


def test_a_lane_keeps_to_its_rate_without_bursts() -> None:
    channels = Channels()
    want(channels, 0.0, range(3000), chunks=3000)
    sent, _ = run(channels, 0.0)
    times = [at for at, _ in sent]
    assert times[-1] - times[0] == pytest.approx(2.999, rel=0.001)
    assert all(later - earlier >= 0.00099 for earlier, later in pairwise(times))


def test_a_lane_that_was_kept_waiting_makes_up_for_a_moment_and_no_more() -> None:
    channels = Channels(gather_s=0)
    want(channels, 0.0, range(3000), chunks=3000)
    _, now = run(channels, 0.0, sends=10)
    resumed = now + 5
    sent, _ = run(channels, resumed, until=resumed)
    assert len(sent) * CHUNK * 8 / (FAST * 1000) <= BURST_S + 0.0011
    sent, _ = run(channels, resumed, until=resumed + 1)
    assert len(sent) == pytest.approx(1000, rel=0.01)


def test_an_idle_lane_saves_nothing_up() -> None:
    channels = Channels()
    want(channels, 0.0, [0])
    run(channels, 0.0)
    want(channels, 100.0, range(1000), chunks=1000, blob=B)
    sent, _ = run(channels, 100.0)
    times = [at for at, _ in sent]
    assert times[0] == pytest.approx(100 + quiet_s(1000))
    assert times[-1] - times[0] == pytest.approx(0.999, rel=0.001)


def test_lanes_are_independent_of_each_other() -> None:
    channels = Channels()
    want(channels, 0.0, range(1000), chunks=1000, channel="ethernet", rate=80_000)
    want(channels, 0.0, range(1000), chunks=1000, channel="wifi", rate=8_000)
    want(channels, 0.0, range(1000), chunks=1000, channel="nb-2g", rate=80)
    sent, _ = run(channels, 0.0, until=quiet_s(1000) + 0.5)
    by_channel = Counter(send.lane.channel for _, send in sent)
    assert by_channel["ethernet"] == 1000
    assert by_channel["wifi"] == pytest.approx(500, abs=2)
    assert by_channel["nb-2g"] == pytest.approx(5, abs=1)


def test_a_chunk_that_cannot_be_had_costs_no_time() -> None:
    channels = Channels(gather_s=0)
    want(channels, 0.0, [0, 1], rate=8.0)
    due = channels.next(0.0)
    assert isinstance(due, Send)
    channels.settle(due, 0, 0.0)
    assert channels.next(0.0) == Send(WIFI, A, 1, CHUNK, 8.0)


def test_a_dropped_blob_is_sent_no_more_on_any_channel() -> None:
    channels = Channels(gather_s=0)
    want(channels, 0.0, range(10))
    want(channels, 0.0, range(10), channel="nb-2g")
    want(channels, 0.0, [0], blob=B)
    due = channels.next(0.0)
    channels.drop(A)
    assert isinstance(due, Send)
    channels.settle(due, CHUNK, 0.0)  # it was on its way
    sent, _ = run(channels, 0.0)
    assert {send.blob for _, send in sent} == {B}
    assert channels.next(1e9) == Wait(None)


@pytest.mark.parametrize(
    ("chunk_bytes", "size_bytes", "rate"), [(0, 10, 1.0), (10, 0, 1.0), (10, 10**10, 1.0), (10, 10, 0.0)]
)
def test_a_want_that_makes_no_sense_is_counted_and_ignored(chunk_bytes: int, size_bytes: int, rate: float) -> None:
    channels = Channels(gather_s=0)
    channels.want(Want("wifi", rate, A, chunk_bytes, size_bytes, Bitmap.of(1, [0])), 0.0)
    assert channels.refused == 1
    assert channels.next(1.0) == Wait(None)


def test_what_is_remembered_has_bounds() -> None:
    channels = Channels(gather_s=0)
    for number in range(MAX_BLOBS + 5):
        want(channels, 0.0, [0], blob=f"{number:064x}")
    assert channels.refused == 5
    channels.want(Want("nb-2g", FAST, A, CHUNK, MAX_CHUNKS * CHUNK, Bitmap(MAX_CHUNKS)), 0.0)
    assert channels.refused == 6
    sent, _ = run(channels, 0.0)
    assert len(sent) == MAX_BLOBS


def test_ten_thousand_random_wants_send_all_that_is_wanted_within_the_rate() -> None:
    rng = random.Random(5)
    channels = Channels()
    still_wanted: set[tuple[str, int]] = set()
    now, sent_bytes = 0.0, 0
    for _ in range(10_000):
        now += rng.expovariate(1 / 0.005)
        blob, missing = rng.choice((A, B, C)), {rng.randrange(400) for _ in range(rng.randint(1, 9))}
        want(channels, now, missing, blob=blob, chunks=400)
        still_wanted |= {(blob, index) for index in missing}
        done, now = run(channels, now, until=now)
        sent_bytes += len(done) * CHUNK
        still_wanted -= {(send.blob, send.index) for _, send in done}
    done, _ = run(channels, now)
    still_wanted -= {(send.blob, send.index) for _, send in done}
    assert sent_bytes * 8 / (FAST * 1000) <= now + BURST_S
    assert len(still_wanted) <= 3 * 102  # wanted again while on its way: at most what left within the grace


def test_lanes_on_which_nothing_is_sent_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefleet_controller.delivery.channels.MAX_LANES", 3)
    channels, now = Channels(), 0.0
    for number in range(9):
        want(channels, now, [0, 1], channel=f"link-{number}")
        sent, now = run(channels, now)
        assert len(sent) == 2
        now += 10.0
    assert channels.refused == 0


def test_who_listens_to_a_broadcast_that_goes_on_counts_towards_what_listeners_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgefleet_controller.delivery.channels.MAX_LISTENING_BITS", 35)
    channels, all_missing = Channels(), Bitmap.full(10)

    def listen(device: str, missing: Bitmap) -> int:
        credit = Credit(pace=64, bytes_under_way=CHUNK, turn=1)
        channels.want(Want("wifi", FAST, A, CHUNK, 10 * CHUNK, missing, device=device, credit=credit), 0.0)
        return channels.refused

    assert [listen(device, all_missing) for device in ("a", "b", "c", "d", "a")] == [0, 0, 0, 1, 1]
    listen("b", Bitmap(10))
    assert listen("d", all_missing) == 1
