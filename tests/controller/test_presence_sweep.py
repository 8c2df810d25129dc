"""Who is there after the broker was away: a last will may have been lost with it."""

import pytest

from edgefleet_controller.fleet.presence_sweep import ANSWER_S, PresenceSweep
from edgefleet_controller.store import Store

ASKED_MS = 1_000_000
LATE_MS = ASKED_MS + int((ANSWER_S + 2) * 1000) + 1


@pytest.fixture
def call(store: Store, reported) -> PresenceSweep:
    """Hello has been said; `gone` was heard before and never after, `here` has answered."""
    for device in ("gone", "here"):
        store.devices.put_report(device, reported(), ASKED_MS - 1)
    made = PresenceSweep(store.devices, jitter_s=2)
    made.asked(ASKED_MS)
    store.devices.put_report("here", reported(report=2), ASKED_MS)
    return made


def online(store: Store) -> list[str]:
    return [device for device in ("gone", "here") if store.devices.get(device).online]


def test_who_does_not_answer_hello_in_time_is_gone(store: Store, call: PresenceSweep) -> None:
    call.tick(LATE_MS - 1, connected=True)
    assert online(store) == ["gone", "here"]
    call.tick(LATE_MS, connected=True)
    assert online(store) == ["here"]


def test_nobody_is_gone_while_we_cannot_hear_them_and_the_next_hello_gives_the_whole_time(
    store: Store, call: PresenceSweep
) -> None:
    call.tick(LATE_MS, connected=False)
    call.asked(LATE_MS)
    call.tick(LATE_MS + 1, connected=True)
    assert online(store) == ["gone", "here"]
