"""A device without room for its variant waits, and what a rollout makes of that."""

import pytest

from edgefleet_contract.rollouts import Timers
from edgefleet_controller.rollouts.orders import decide
from edgefleet_controller.rollouts.rollout import Activate, End, MoveRollout, MoveWave, Return, advance, after_report

DETAIL = "need 9 bytes, have 1"


@pytest.fixture
def waiting(execution):
    def make(device: str = "full", **fields):
        given = {"reason": "no_space", "detail": DETAIL, "directive": "stage", "directed_ms": 0, "generation": 1}
        return execution(device, "notified", **{**given, **fields})

    return make


@pytest.fixture
def given_up(waiting):
    return waiting().model_copy(update={"phase": "rejected"})


def test_need_and_have_are_kept_with_a_device_that_only_waits(execution) -> None:
    after = after_report(execution("a", "notified"), "notified", "no_space", DETAIL, 7)
    assert (after.phase, after.reason, after.detail, after.changed_ms) == ("notified", "no_space", DETAIL, 7)
    again = after_report(after, "notified", "no_space", "need 9 bytes, have 2", 99)
    assert (again.changed_ms, again.heard_ms) == (7, 99), "it has waited since the first time that it said so"


def test_who_has_no_room_does_not_keep_the_others_from_switching(rollout, execution, waiting) -> None:
    decisions = advance(rollout("staging"), [execution("a", "staged", directive="stage"), waiting()], 0, (), 0)
    assert decisions == [MoveWave(1, "activating", "1 device ready to switch, 1 to follow")]


def test_a_wave_waits_for_who_has_no_room_until_its_time_is_up(rollout, execution, waiting) -> None:
    members = [execution("a", "committed"), waiting(heard_ms=20_000)]
    timers = Timers(space_s=10)
    assert advance(rollout("activating", timers=timers), members, 10_000, (), 0) == []
    decisions = advance(rollout("activating", timers=timers), members, 10_001, (), 0)
    assert decisions[0] == End(members[1], "rejected", f"{DETAIL}; waited 10 s for space")


def test_who_finds_room_after_it_was_given_up_is_taken_at_its_word(given_up) -> None:
    assert after_report(given_up, "notified", "no_space", DETAIL, 7).phase == "rejected", "it only goes on waiting"
    assert after_report(given_up, "downloading", None, None, 7).phase == "downloading"


def test_who_is_ready_after_its_wave_has_passed_switches_then(rollout, execution) -> None:
    late = execution("late", "staged", directive="stage", generation=1)
    members = [late, execution("b", "downloading", wave=2, directive="stage", directed_ms=0, generation=1)]
    assert advance(rollout("passed", "staging"), members, 0, (), 0) == [Activate(late)]


def test_a_rollback_and_an_abort_reach_who_still_waits(rollout, waiting, given_up) -> None:
    going_back = rollout("failed").model_copy(update={"state": "rolling_back"})
    assert advance(going_back, [given_up], 0) == [Return(given_up)]
    aborted = decide("abort", rollout("staging"), [given_up, waiting("b")])
    assert isinstance(aborted[0], MoveRollout)
    told = [(d.execution.device, d.execution.phase) for d in aborted if isinstance(d, Return)]
    assert told == [("full", "rejected"), ("b", "cancelled")]
