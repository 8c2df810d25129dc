"""A variant that gets worse after its rollout has completed: from the message to the alert, and to its end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from tests.controller.speaking import GIVEN, NEW, OLD, WAVE, Fleet

from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.rollouts import ExecutionRecord, Gate
from edgefleet_controller.clock import now_ms
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.examination import Examinations
from edgefleet_controller.rollouts.watch import ROUND_S, CompletedWatch
from edgefleet_controller.rollouts.watching import HOUR_MS
from edgefleet_controller.store import Store
from edgefleet_protocol.messages import ReportedState


@dataclass
class Watched:
    """A fleet whose rollout has completed, and its watch with a clock of its own."""

    store: Store
    fleet: Fleet
    now: int = field(default_factory=now_ms)
    monotonic_s: float = 0.0

    def __post_init__(self) -> None:
        self.watch = CompletedWatch(self.store.fleet, Examinations(self.store), lambda: self.monotonic_s)

    def say(self, right: int) -> None:
        """Every device labels 60 answers of the new variant."""
        for device in WAVE:
            self.fleet.says(device, NEW, 60, right)

    def look(self, hours: float = 0.0) -> list[AlertRecord]:
        """The alerts after the next round, so many hours after completion."""
        self.monotonic_s += ROUND_S
        with self.store.fleet.transaction():
            self.watch.regard((), self.now + round(hours * HOUR_MS))
        self.watch.tick(self.now + round(hours * HOUR_MS))
        return self.store.fleet.alerts.all()


@pytest.fixture
def watched(
    store: Store,
    rollout: Callable[..., RolloutRecord],
    execution: Callable[..., ExecutionRecord],
    reported: Callable[..., ReportedState],
) -> Iterator[Watched]:
    """Five devices whose rollout has completed; 90 % of the labels before it were right."""
    now = now_ms()
    done = rollout("passed", gate=Gate(watch_h=1)).model_copy(update={"state": "completed", "changed_ms": now})
    store.fleet.rollouts.put(done)
    told = {"directive": "activate", "generation": GIVEN, "previous_variant": OLD, "directed_ms": now}
    store.fleet.rollouts.put_executions([execution(device, "committed", **told) for device in WAVE])
    fleet = Fleet(store, done, reported)
    fleet.enlist(*WAVE)
    for device in WAVE:
        fleet.says(device, OLD, 100, 90)
    yield Watched(store, fleet, now)


def test_a_variant_that_gets_worse_raises_one_alert_and_ends_it_when_it_is_well_again(watched: Watched) -> None:
    watched.say(54)
    assert watched.look() == []
    watched.say(0)
    (alert,) = watched.look()
    assert (alert.state, alert.check, alert.profile) == ("open", "accuracy", "eu/rpi4/lte")
    assert "against 90.0%" in alert.text
    for _ in range(30):
        watched.say(60)
    (ended,) = watched.look()
    assert (ended.id, ended.state) == (alert.id, "ended")
    assert ended.ended_because == "the finding is gone: the check passes"
    assert [entry.what for entry in watched.store.fleet.audit.of("01")] == ["alert raised", "alert ended"]


def test_after_its_hours_nobody_looks(watched: Watched) -> None:
    watched.say(0)
    assert watched.look(hours=1) == []
    assert len(watched.look(hours=0.9)) == 1


def test_while_an_alert_is_open_it_is_watched_on(watched: Watched) -> None:
    watched.say(0)
    assert len(watched.look()) == 1
    (alert,) = watched.look(hours=30)
    assert (alert.state, alert.last_ms) == ("open", watched.now + 30 * HOUR_MS)


def test_a_newer_rollout_of_the_variants_devices_ends_the_alert_and_is_not_held_up(
    watched: Watched, rollout: Callable[..., RolloutRecord], execution: Callable[..., ExecutionRecord]
) -> None:
    watched.say(0)
    watched.look()
    rollouts = watched.store.fleet.rollouts
    assert rollouts.owners("fashion", WAVE) == {}, "the watch owns nothing"
    rollouts.put(rollout("activating").model_copy(update={"id": "02"}))
    later = [execution(device, "assigned", rollout="02") for device in WAVE]
    rollouts.put_executions(later)
    assert watched.look()[0].state == "open", "they run the old variant until they have committed the new one"
    committed = [e.model_copy(update={"phase": "committed", "directive": "activate"}) for e in later]
    rollouts.put_executions(committed[1:])
    assert watched.look()[0].state == "open", "one device runs it yet"
    rollouts.put_executions(committed)
    (ended,) = watched.look()
    assert ended.ended_because == "rollout 02 has replaced the variant"
    with watched.store.fleet.transaction():
        assert watched.watch.regard((), watched.now) == frozenset({"01"})
    watched.look()
    with watched.store.fleet.transaction():
        assert watched.watch.regard((), watched.now) == frozenset(), "nothing of it is kept in memory"


def test_a_rollback_ends_the_alert(watched: Watched) -> None:
    watched.say(0)
    watched.look()
    rollouts = watched.store.fleet.rollouts
    rollouts.put(rollouts.get("01").model_copy(update={"state": "rolled_back"}))
    assert watched.look()[0].ended_because == "the rollout is rolled_back"


def test_what_a_rollout_has_gathered_is_kept_when_it_completes(
    watched: Watched, rollout: Callable[..., RolloutRecord]
) -> None:
    conductor, rollouts = watched.fleet.conductor, watched.store.fleet.rollouts
    done = rollouts.get("01")
    rollouts.put(rollout("soaking", gate=Gate(soak_s=1e5, watch_h=1)))
    watched.say(54)
    conductor.tick(watched.now)
    gathered = conductor._examinations._looks["01"]
    rollouts.put(done)
    for _ in range(2):
        conductor.tick(watched.now)
        assert conductor._examinations._looks.get("01") is gathered


def test_the_conductor_watches(watched: Watched) -> None:
    watched.say(0)
    watched.fleet.conductor.tick(watched.now)
    (alert,) = watched.store.fleet.alerts.all(state="open")
    assert alert.rollout == "01"
