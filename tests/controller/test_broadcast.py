"""One blob on one lane: nothing is sent beyond anyone's credit, and nothing that is under way again."""

import random
import time

from edgefleet_controller.delivery.broadcast import Broadcast, Hurry
from edgefleet_protocol.messages import Credit

CHUNK, CHUNKS = 1000, 40
PATIENCE_S, PAUSE_S = 5.0, 0.1
ALL = (1 << CHUNKS) - 1


def credit(chunks: int, turn: int = 1, last: int | None = None) -> Credit:
    return Credit(pace=64, bytes_under_way=chunks * CHUNK, turn=turn, last=last)


def send(one: Broadcast, now: float, most: int = 1000) -> list[int]:
    """Send what may be sent now."""
    sent: list[int] = []
    one.forget_sent_before(now - PAUSE_S)
    while len(sent) < most and (index := one.next_index(now, PATIENCE_S, PAUSE_S)) is not None:
        one.sent(index, CHUNK, now)
        sent.append(index)
    return sent


def without(indexes: list[int]) -> int:
    return ALL & ~sum(1 << index for index in indexes)


def test_no_more_goes_out_than_the_smallest_credit_allows() -> None:
    one = Broadcast(CHUNKS, CHUNK)
    one.listen("a", ALL, credit(8), 0.0, 1e9)
    one.listen("b", ALL, credit(3), 0.0, 1e9)
    assert send(one, 0.0) == [0, 1, 2]
    one.listen("a", without([0, 1, 2]), credit(8, last=2), 1.0, 1e9)
    assert send(one, 1.0) == []
    one.listen("b", without([0, 1]), credit(3, last=1), 2.0, 1e9)
    assert send(one, 2.0) == [3, 4]


def test_what_is_under_way_is_not_sent_again_and_what_was_lost_is() -> None:
    one = Broadcast(CHUNKS, CHUNK)
    one.listen("a", ALL, credit(5), 0.0, 1e9)
    assert send(one, 0.0) == [0, 1, 2, 3, 4]
    one.listen("a", without([0, 2]), credit(5, last=2), 1.0, 1e9)  # 1 was sent before 2: it is lost
    assert send(one, 1.0) == [5, 6, 7]
    one.listen("a", without([0, 2, 3, 4, 5, 6, 7]), credit(5, last=7), 2.0, 1e9)
    assert send(one, 2.0, most=33) == [8, 9, 10, 11, 12]


def test_a_new_turn_means_that_nothing_is_under_way() -> None:
    one = Broadcast(CHUNKS, CHUNK)
    one.listen("a", ALL, credit(4), 0.0, 1e9)
    assert send(one, 0.0) == [0, 1, 2, 3]
    one.listen("a", without([0, 1]), credit(4, turn=2), 1.0, 1e9)
    assert send(one, 1.0) == [4, 5, 6, 7]
    one.listen("a", without([0, 1, 4, 5, 6, 7]), credit(CHUNKS, turn=2, last=7), 2.0, 1e9)
    assert send(one, 2.0) == [*range(8, CHUNKS), 2, 3]


def test_a_listener_that_does_not_move_is_waited_for_and_then_left_behind() -> None:
    one = Broadcast(CHUNKS, CHUNK)
    one.listen("slow", ALL, credit(2), 0.0, 1e9)
    one.listen("quick", ALL, credit(9), 0.0, 1e9)
    assert send(one, 0.0) == [0, 1]
    one.listen("quick", without([0, 1]), credit(9, last=1), 1.0, 1e9)
    assert send(one, 4.9) == []
    assert one.blocked_until == PATIENCE_S
    assert send(one, 5.1) == list(range(2, 11))
    assert one.listeners == 1


def test_what_only_those_lacked_who_have_left_is_not_sent() -> None:
    one = Broadcast(CHUNKS, CHUNK)
    one.listen("a", 0b111, credit(9), 0.0, 1e9)
    one.listen("b", 0b100, credit(9), 0.0, 1e9)
    one.leave("a")
    assert send(one, 0.0) == [2]
    one.leave("b")
    one.leave("nobody")
    one.forget_sent_before(1.0)
    assert one.over


def test_a_chunk_may_always_be_under_way_however_small_the_credit() -> None:
    one = Broadcast(CHUNKS, CHUNK)
    one.listen("a", ALL, Credit(pace=0, bytes_under_way=1, turn=1), 0.0, 1e9)
    assert send(one, 0.0) == [0]


def test_a_device_that_hears_what_it_has_already_still_moves() -> None:
    one = Broadcast(CHUNKS, CHUNK)
    one.listen("a", ALL, credit(2), 0.0, 1e9)
    one.listen("b", 1 << 9, credit(2), 0.0, 1e9)
    assert send(one, 0.0) == [0, 1]
    one.listen("b", 1 << 9, credit(2, last=1), 0.1, 1e9)
    one.listen("a", without([0, 1]), credit(2, last=1), 0.2, 1e9)
    assert send(one, 0.3) == [2, 3]


def test_a_thousand_devices_that_lose_and_come_and_go_get_everything_within_their_credit() -> None:
    rng = random.Random(3)
    one = Broadcast(CHUNKS, CHUNK)
    missing = {f"d{number}": ALL for number in range(1000)}
    turns, heard = dict.fromkeys(missing, 1), dict[str, list[int]]()
    now = 0.0
    for device, lacks in missing.items():
        heard[device] = []
        one.listen(device, lacks, credit(5), now, 1e9)
    for _ in range(400):
        now += 0.2
        sent = send(one, now)
        assert len(sent) <= 5
        for device in list(missing):
            got = [index for index in sent if rng.random() > 0.02]
            heard[device] += got
            for index in got:
                missing[device] &= ~(1 << index)
            if not missing[device]:
                one.leave(device)
                del missing[device]
                continue
            if rng.random() < 0.01:
                turns[device] += 1
                heard[device] = []
            last = heard[device][-1] if heard[device] else None
            one.listen(device, missing[device], credit(5, turns[device], last), now, 1e9)
        if not missing:
            break
    assert not missing


def test_one_that_moves_a_little_at_a_time_is_waited_for_no_longer_than_its_patience() -> None:
    one, pace = Broadcast(CHUNKS, CHUNK), Hurry(PATIENCE_S, byte_s=0.01 / CHUNK)
    last, total = None, 0
    for second in range(CHUNKS):
        now = float(second)
        one.listen("greedy", ALL, credit(CHUNKS, turn=second), now, 1e9, pace)
        if second % 4 == 0:  # never silent for as long as PATIENCE_S
            one.listen("slow", ALL, credit(1, last=last), now, 1e9, pace)
        sent = send(one, now)
        last, total = next(iter(sent), last), total + len(sent)
    assert total > 10 * CHUNKS  # waiting for it each time: a chunk in four seconds


def test_one_that_hears_enough_again_is_waited_for_again() -> None:
    one, pace = Broadcast(CHUNKS, CHUNK), Hurry(PATIENCE_S, byte_s=1 / CHUNK)
    one.listen("a", ALL, credit(CHUNKS), 0.0, 1e9, pace)
    one.listen("b", ALL, credit(1), 0.0, 1e9, pace)
    assert send(one, 0.0) == [0]
    assert send(one, PATIENCE_S - 0.1) == []
    assert send(one, PATIENCE_S, most=3) == [1, 2, 3]
    one.listen("b", ALL, credit(1, turn=2), 6.0, 1e9, pace)
    assert send(one, 6.0, most=4) == [4, 5, 6, 7]
    one.listen("b", ALL, credit(1, turn=2, last=7), 7.0, 1e9, pace)
    assert send(one, 7.0) == [8]


def test_thousands_who_leave_one_after_the_other_take_no_time() -> None:
    one, began_s = Broadcast(CHUNKS, CHUNK), time.process_time()
    for number in range(3000):
        one.listen(str(number), ALL, credit(3), 0.0, 1e9)
    send(one, 0.0)
    for number in range(3000):
        one.leave(str(number))
        send(one, 1.0)
    assert not one.wanted
    assert time.process_time() - began_s < 3  # looking at all the others each time: 15
