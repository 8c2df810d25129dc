"""When the embedded broker is started again for a disk that was full."""

from pathlib import Path

from edgefleet_controller.fleet.broker_restart import FED_BYTES, STARVED_BYTES, BrokerRestart
from edgefleet_controller.fleet.broker_watch import BrokerWatch


def test_the_broker_is_started_again_once_when_there_is_room_after_there_was_none() -> None:
    restart = BrokerRestart()
    told = [restart.is_over(free) for free in (FED_BYTES, 0, STARVED_BYTES, FED_BYTES - 1, FED_BYTES, FED_BYTES)]
    assert told == [False, False, False, False, True, False]


def test_a_disk_that_only_comes_close_changes_nothing() -> None:
    restart = BrokerRestart()
    assert not any(restart.is_over(free) for free in (FED_BYTES, STARVED_BYTES, FED_BYTES))


class Broker:
    """Keeps what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ensure_running(self) -> bool:
        self.asked.append("run")
        return False

    def stop(self) -> None:
        self.asked.append("stop")


def test_the_broker_is_kept_running_and_ended_first_when_its_disk_has_room_again(tmp_path: Path) -> None:
    broker, room = Broker(), iter([FED_BYTES, 0, FED_BYTES, FED_BYTES])
    watch = BrokerWatch(broker, tmp_path, lambda _: next(room))
    for _ in range(4):
        watch.tick()
    assert broker.asked == ["run", "run", "stop", "run", "run"]
