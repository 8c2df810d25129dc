"""When the embedded broker is started again for a disk that was full."""

from edgefleet_controller.fleet.broker_restart import FED_BYTES, STARVED_BYTES, BrokerRestart


def test_the_broker_is_started_again_once_when_there_is_room_after_there_was_none() -> None:
    starvation = BrokerRestart()
    told = [starvation.is_over(free) for free in (FED_BYTES, 0, STARVED_BYTES, FED_BYTES - 1, FED_BYTES, FED_BYTES)]
    assert told == [False, False, False, False, True, False]


def test_a_disk_that_only_comes_close_changes_nothing() -> None:
    starvation = BrokerRestart()
    assert not any(starvation.is_over(free) for free in (FED_BYTES, STARVED_BYTES, FED_BYTES))
