"""A silence that is the controller's own: it may have been without its broker, and then it has heard nobody."""

import pytest

from edgefleet_contract.rollouts import Timers
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.conductor import Conductor
from edgefleet_controller.store import Store
from edgefleet_controller.store.memory import new_store


@pytest.fixture
def store() -> Store:
    return new_store()


class NoJoiners:
    """Nobody appears after the start."""

    def look(self, _rollout: RolloutRecord) -> list:
        return []

    def drop(self, _rollout: str) -> None:
        return


def test_nobody_is_given_up_while_the_broker_is_away_nor_as_soon_as_it_is_back(
    store: Store, rollout, execution
) -> None:
    broker_is_there = False
    parts = {"tick_s": 60, "connected": lambda: broker_is_there}
    conductor = Conductor(store, lambda _: None, NoJoiners(), **parts)
    store.fleet.rollouts.put(rollout("activating", timers=Timers(silent_s=10)))
    store.fleet.rollouts.put_executions([execution("a", "trial", directive="activate", directed_ms=0, heard_ms=0)])
    phases = []
    for now_ms in (100_000, 101_000, 110_000, 111_000, 111_001):
        conductor.tick(now_ms)
        phases.append(store.fleet.rollouts.executions("01")[0].phase)
        broker_is_there = True
    assert phases == ["trial", "trial", "trial", "trial", "timed_out"]
