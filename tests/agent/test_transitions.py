"""What the disk does not take is not acted on, and nothing overtakes it; what waits for room looks at the disk."""

import errno

from edgefleet_agent.disk_wait import FIRST_PAUSE_S, LONGEST_PAUSE_S, LOOK_EVERY_S, DiskWait
from edgefleet_agent.transitions import FIRST_PAUSE_S as AGAIN_S
from edgefleet_agent.transitions import Transitions


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Disk:
    """A disk that is full until there is room, and what was done with it, in order."""

    def __init__(self) -> None:
        self.full = True
        self.done: list[str] = []

    def save(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.done.append("saved")

    def act(self) -> None:
        self.done.append("acted")


def test_what_is_saved_is_acted_on_at_once() -> None:
    disk = Disk()
    disk.full = False
    turns = Transitions("pets", Clock())
    turns.take(disk.save, disk.act)
    assert disk.done == ["saved", "acted"]
    assert (turns.stuck, turns.trouble) == (False, None)


def test_what_cannot_be_saved_is_not_acted_on_until_it_can() -> None:
    disk, clock = Disk(), Clock()
    turns = Transitions("pets", clock)
    turns.take(disk.save, disk.act)
    assert (disk.done, turns.stuck, turns.trouble) == ([], True, "No space left on device")
    disk.full = False
    turns.tick()
    assert disk.done == [], "it is not tried again at once"
    clock.now_s += AGAIN_S
    turns.tick()
    assert disk.done == ["saved", "acted"]
    assert (turns.stuck, turns.trouble) == (False, None)


def test_what_comes_meanwhile_waits_its_turn_and_of_directions_only_the_last_counts() -> None:
    disk, clock = Disk(), Clock()
    turns = Transitions("pets", clock)
    turns.take(disk.save, disk.act)
    turns.last(lambda: disk.done.append("an old direction"))
    turns.behind(lambda: disk.done.append("downloaded"))
    turns.last(lambda: disk.done.append("the last direction"))
    for _ in range(10):
        clock.now_s += 60
        turns.tick()
    assert disk.done == []
    disk.full = False
    clock.now_s += 60
    turns.tick()
    assert disk.done == ["saved", "acted", "downloaded", "the last direction"]


def test_what_waits_behind_may_get_stuck_in_its_turn() -> None:
    disk, clock = Disk(), Clock()
    turns = Transitions("pets", clock)
    second = Disk()
    turns.take(disk.save, disk.act)
    turns.behind(lambda: turns.take(second.save, second.act))
    turns.behind(lambda: second.done.append("third"))
    disk.full = False
    clock.now_s += 60
    turns.tick()
    assert (disk.done, second.done, turns.stuck) == (["saved", "acted"], [], True)
    second.full = False
    clock.now_s += 60
    turns.tick()
    assert second.done == ["saved", "acted", "third"]


def test_once_the_need_is_known_room_is_found_as_soon_as_there_is_enough() -> None:
    free = [10]
    room = DiskWait(lambda: free[0])
    room.wait(100, now_s=0)
    assert not room.found(0)
    assert not room.found(1000)
    free[0] = 100
    assert room.found(1000 + LOOK_EVERY_S)
    room.stop()
    assert not room.found(2000)


def test_where_writes_fail_though_there_seems_to_be_room_the_pauses_grow_and_end() -> None:
    room, pauses = DiskWait(lambda: 10**9), []
    for _ in range(10):
        room.wait(0, now_s=0)
        pauses.append(next(s for s in range(1000) if room.found(s)))
    assert (pauses[0], pauses[1], pauses[-1]) == (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, LONGEST_PAUSE_S)
    room.written()
    room.wait(0, now_s=0)
    assert room.found(FIRST_PAUSE_S)
