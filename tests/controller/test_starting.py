"""A slow device does not hold its wave: who is ready switches once enough of it have staged, and the others follow."""

import pytest

from edgefleet_contract.rollouts import ExecutionRecord, Gate, RolloutSpec, Timers
from edgefleet_controller.rollouts.conductor import Conductor
from edgefleet_controller.rollouts.orders import decide
from edgefleet_controller.rollouts.rollout import Activate, Hold, MoveWave, Return, Stage, advance
from edgefleet_controller.rollouts.starting import needed, standing, waits_for
from edgefleet_controller.store import Store
from edgefleet_controller.store.memory import new_store


@pytest.fixture
def wave(execution):
    """So many devices that are staged, and so many that still fetch."""

    def make(staged: int, slow: int, directive: str = "stage", phase: str = "staged") -> list[ExecutionRecord]:
        ready = [execution(f"a{n:02}", phase, directive=directive) for n in range(staged)]
        return ready + [execution(f"slow{n}", "downloading", directive="stage") for n in range(slow)]

    return make


@pytest.mark.parametrize(
    ("share", "devices", "enough"),
    [
        *((0.9, 0, 0), (0.9, 1, 1), (0.9, 9, 9), (0.9, 10, 9), (0.9, 21, 19)),
        *((0.5, 5, 3), (1.0, 40, 40), (0.07, 100, 7), (0.01, 3, 1)),
    ],
)
def test_how_many_must_have_staged(share: float, devices: int, enough: int) -> None:
    assert needed(share, devices) == enough


def test_a_wave_begins_once_the_share_is_staged_and_says_who_follows(rollout, wave) -> None:
    assert advance(rollout("staging"), wave(8, 2), 1000) == []
    assert advance(rollout("staging"), wave(18, 2), 1000) == [
        MoveWave(1, "activating", "18 devices ready to switch, 2 to follow")
    ]


@pytest.mark.parametrize("devices", range(2, 10))
def test_a_small_wave_is_judged_together_and_waits_for_all(rollout, wave, devices: int) -> None:
    assert advance(rollout("staging"), wave(devices - 1, 1), 1000) == []


def test_a_share_of_one_waits_for_all_however_many(rollout, wave) -> None:
    assert advance(rollout("staging", start_share=1.0), wave(99, 1), 1000) == []


def test_a_device_that_waits_for_room_holds_nobody(rollout, wave, execution) -> None:
    full = execution("full", "notified", directive="stage", reason="no_space")
    (moved,) = advance(rollout("staging", start_share=1.0), [*wave(3, 0), full], 1000)
    assert moved == MoveWave(1, "activating", "3 devices ready to switch, 1 to follow")


def test_the_share_is_of_devices_under_way_and_not_of_those_that_have_ended(rollout, wave, execution) -> None:
    gone = [execution(f"x{n}", "superseded") for n in range(5)]
    (moved,) = advance(rollout("staging"), [*wave(9, 1), *gone], 1000)
    assert isinstance(moved, MoveWave) and moved.state == "activating"


def test_whoever_stages_later_follows_at_once_within_the_concurrency(rollout, wave, execution) -> None:
    slow = execution("slow", "staged", directive="stage")
    assert advance(rollout("activating"), [*wave(9, 0, phase="committed"), slow], 1000) == [Activate(slow)]
    busy = [*wave(2, 0, directive="activate", phase="trial"), slow]
    assert advance(rollout("activating", concurrency=2), busy, 1000) == []


def test_one_that_was_not_told_to_fetch_yet_is_told_while_the_others_switch(rollout, wave, execution) -> None:
    waited = execution("waited", "assigned")
    assert advance(rollout("activating"), [*wave(9, 0, phase="committed"), waited], 1000) == [Stage(waited)]


def test_a_wave_neither_soaks_nor_passes_before_the_slow_ones_have_decided(rollout, wave) -> None:
    members = wave(19, 1, "activate", "committed")
    timed = {"gate": Gate(soak_s=10), "timers": Timers(wave_s=3600, silent_s=86_400)}
    assert advance(rollout("activating", **timed), members, 3_599_000) == []
    assert advance(rollout("activating", **timed), members, 3_601_000) == [
        MoveWave(1, "soaking", "its time is up; the rest follow later")
    ]


def test_the_first_can_fail_a_wave_before_the_slow_ones_have_staged(rollout, wave, execution) -> None:
    failed = [execution(f"bad{n}", "failed_rolled_back", directive="activate") for n in range(4)]
    (moved,) = advance(rollout("activating"), [*wave(8, 2, "activate", "committed"), *failed], 1000)
    assert isinstance(moved, MoveWave) and moved.state == "failed"


def test_one_that_stages_after_its_wave_has_passed_switches_then(rollout, wave, execution) -> None:
    late = execution("late", "staged", directive="stage")
    assert advance(rollout("passed", "staging"), [late, execution("b", "downloading", wave=2)], 1000) == [
        Activate(late)
    ]


def test_a_pause_holds_the_ready_and_an_abort_and_a_rollback_reach_those_that_still_fetch(rollout, wave) -> None:
    members = [e.model_copy(update={"generation": 1}) for e in wave(9, 1, "activate")]
    paused = rollout("activating").model_copy(update={"state": "paused"})
    assert advance(paused, members, 1000) == [Hold(e) for e in members[:9]]
    returning = decide("rollback", rollout("activating"), members)
    back = rollout("activating").model_copy(update={"state": "rolling_back"})
    told = [d.execution for d in [*returning, *advance(back, members, 1000)] if isinstance(d, Return)]
    assert {e.device for e in told} == {e.device for e in members}


def test_a_wave_says_what_it_waits_for() -> None:
    counts = {"staged": 15, "downloading": 4, "verified": 1, "notified": 1, "no_variant": 7}
    assert waits_for("staging", 0.9, counts) == "15 of 21 devices staged; the first switch once 19 have"
    assert waits_for("staging", 0.5, {"staged": 0, "downloading": 1}) == (
        "0 of 1 device staged; the first switches once 1 has"
    )
    fetching = {"committed": 20, "downloading": 1}
    assert waits_for("activating", 0.9, fetching) == "1 device still fetching, to switch once staged"
    assert waits_for("activating", 0.9, {"trial": 3}) is None
    assert waits_for("soaking", 0.9, fetching) is None


def test_a_wave_says_what_its_devices_do_now_and_not_what_they_did_before() -> None:
    counts = {"assigned": 1, "downloading": 3, "verified": 1, "staged": 1_000, "no_variant": 7}
    assert standing("staging", counts) == "5 devices fetching, 1,000 ready to switch"
    assert standing("activating", {"staged": 1, "trial": 2, "self_test": 1}) == "1 device ready to switch, 3 switching"
    assert standing("activating", {"committed": 4}) is None
    for over in ("pending", "soaking", "passed", "failed", "inconclusive"):
        assert standing(over, counts) is None


def test_the_store_holds_who_was_told_to_switch_and_who_was_not(rollout, wave) -> None:
    store: Store = new_store()
    conductor = Conductor(store, lambda _: None, NoJoiners(), tick_s=60)
    store.fleet.rollouts.put(rollout("staging", concurrency=50))
    store.fleet.rollouts.put_executions(wave(18, 2))
    conductor.tick(1)
    conductor.tick(2)
    told = {e.device: e.directive for e in store.fleet.rollouts.live.of("01")}
    assert {device for device, directive in told.items() if directive == "stage"} == {"slow0", "slow1"}
    assert sum(desired.activate for device in told for desired in store.fleet.desired.of(device)) == 18
    assert store.fleet.rollouts.get("01").waves[0].state == "activating"


class NoJoiners:
    def look(self, rollout: object) -> list[ExecutionRecord]:
        return []

    def drop(self, rollout: str) -> None:
        pass


def test_a_spec_that_an_older_controller_stored_is_read() -> None:
    assert RolloutSpec.model_validate_json('{"model": "fashion", "version": 1}').start_share == 0.9
