"""Who asks for the store first is served first."""

import threading
import time

import pytest

from edgefleet_controller.errors import StoreFault
from edgefleet_controller.store.fair_lock import FairLock


def test_one_thread_takes_it_within_itself() -> None:
    turns = FairLock()
    with turns, turns:
        pass
    with turns:
        pass


def test_one_thread_at_a_time_in_the_order_of_asking() -> None:
    turns, order, inside = FairLock(), [], []

    def take(number: int) -> None:
        with turns:
            inside.append(number)
            order.append(len(inside))
            time.sleep(0.001)
            inside.remove(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(20)]
    served: list[int] = []
    with turns:
        for thread in threads:
            waiting = len(turns._waiting)
            thread.start()
            while len(turns._waiting) == waiting and thread.is_alive():
                time.sleep(0.001)
        served = [thread.ident for thread in threads] == [ident for ident, _ in turns._waiting]
    for thread in threads:
        thread.join()
    assert served
    assert order == [1] * 20


def test_who_takes_it_again_at_once_starves_nobody() -> None:
    turns, taken, stop = FairLock(), [0], threading.Event()

    def greedy() -> None:
        while not stop.is_set():
            with turns:
                taken[0] += 1
                time.sleep(0.002)

    thread = threading.Thread(target=greedy)
    thread.start()
    try:
        for _ in range(20):
            before = taken[0]
            with turns:
                assert taken[0] - before <= 2, "at most the one that was in it, and one that asked before"
    finally:
        stop.set()
        thread.join()


def test_an_error_inside_gives_it_back() -> None:
    turns = FairLock()
    with pytest.raises(RuntimeError), turns:
        raise RuntimeError("inside")
    done = threading.Event()

    def take() -> None:
        with turns:
            done.set()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(5)
    assert done.is_set()


def test_of_two_locks_that_are_kept_apart_one_is_never_taken_within_the_other() -> None:
    fleet = FairLock()
    telemetry = FairLock(never_within=fleet)
    with telemetry, fleet, telemetry:
        assert telemetry.is_mine and fleet.is_mine
    with fleet, pytest.raises(StoreFault, match="used within"), telemetry:
        pass
    assert not telemetry.is_mine
    with telemetry:
        pass
