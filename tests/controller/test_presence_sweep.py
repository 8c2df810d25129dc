"""Who is there after the broker was away: a last will may have been lost with it."""

import pytest

from edgefleet_controller.fleet.presence_sweep import ANSWER_S, PresenceSweep
from edgefleet_controller.store import Store
from edgefleet_controller.store.memory import new_store

ASKED_MS = 1_000_000
LATE_MS = ASKED_MS + int((ANSWER_S + 2) * 1000) + 1


@pytest.fixture
def store() -> Store:
    return new_store()


class Call:
    """A sweep with a connection and a clock of the test's own; `said` is what hello asked for, in seconds."""

    def __init__(self, store: Store) -> None:
        self.connected, self.now_ms, self.said = True, ASKED_MS, []
        self.sweep = PresenceSweep(store.fleet.devices, self.said.append, self, jitter_s=2, clock=lambda: self.now_ms)

    def tick(self, now_ms: int, connected: bool) -> None:
        self.now_ms, self.connected = now_ms, connected
        self.sweep.tick()


@pytest.fixture
def call(store: Store, reported) -> Call:
    """Hello has been said; `gone` was heard before and never after, `here` has answered."""
    for device in ("gone", "here"):
        store.fleet.devices.put_report(device, reported(), ASKED_MS - 1)
    made = Call(store)
    made.sweep.begin()
    store.fleet.devices.put_report("here", reported(report=2), ASKED_MS)
    return made


def online(store: Store) -> list[str]:
    return [device for device in ("gone", "here") if store.fleet.devices.get(device).online]


def test_who_does_not_answer_hello_in_time_is_gone(store: Store, call: Call) -> None:
    assert call.said == [2]
    call.tick(LATE_MS - 1, connected=True)
    assert online(store) == ["gone", "here"]
    call.tick(LATE_MS, connected=True)
    assert online(store) == ["here"]


def test_nobody_is_gone_while_we_cannot_hear_them_and_the_next_hello_gives_the_whole_time(
    store: Store, call: Call
) -> None:
    call.tick(LATE_MS, connected=False)
    call.sweep.begin()
    call.tick(LATE_MS + 1, connected=True)
    assert online(store) == ["gone", "here"]
