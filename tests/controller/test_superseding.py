"""A device that another rollout has moved: what its execution becomes."""

import pytest

from edgefleet_controller.rollouts.superseding import after_another
from edgefleet_protocol.messages import Attempt

OURS = "01890000-0000-7000-8000-000000000002"
EARLIER = "01890000-0000-7000-8000-000000000001"
LATER = "01890000-0000-7000-8000-000000000003"


def attempt(rollout: str | None, generation: int) -> Attempt:
    return Attempt(generation=generation, rollout=rollout, phase="committed")


@pytest.fixture
def ours(execution):
    return lambda phase, **fields: execution("d", phase, rollout=OURS, **fields)


@pytest.mark.parametrize(("phase", "generation"), [("assigned", None), ("staged", 2), ("trial", 9)])
def test_what_a_later_rollout_gave_is_left_alone(ours, phase: str, generation: int | None) -> None:
    after = after_another(ours(phase, generation=generation), attempt(LATER, 5), 7)
    assert after is not None
    assert (after.phase, after.changed_ms) == ("superseded", 7)
    assert LATER in (after.detail or "")


def test_a_direction_whose_number_was_too_low_is_given_anew(ours) -> None:
    told = ours("assigned", generation=4, directive="stage", directed_ms=1)
    after = after_another(told, attempt(EARLIER, 4), 7)
    assert after is not None
    assert (after.phase, after.generation, after.directive, after.directed_ms) == ("assigned", None, "none", None)


def test_an_earlier_rollouts_attempt_says_nothing_of_a_direction_that_is_on_its_way(ours) -> None:
    assert after_another(ours("assigned", generation=4, directive="stage"), attempt(EARLIER, 3), 7) is None
    assert after_another(ours("assigned"), attempt(EARLIER, 3), 7) is None


def test_what_has_ended_stays_and_a_way_back_ends_where_a_later_rollout_went_on(ours) -> None:
    assert after_another(ours("committed", generation=2), attempt(LATER, 5), 7) is None
    after = after_another(ours("committed", generation=2, back_generation=3), attempt(LATER, 5), 7)
    assert after is not None
    assert (after.phase, after.back_phase, after.is_back) == ("committed", "superseded", True)


def test_a_way_back_is_not_ended_by_what_a_later_rollout_had_given_before(ours) -> None:
    going = ours("committed", generation=2, back_generation=6, back_phase="assigned")
    assert after_another(going, attempt(LATER, 5), 7) is None


@pytest.mark.parametrize("rollout", [None, OURS])
def test_its_own_word_is_not_anothers(ours, rollout: str | None) -> None:
    assert after_another(ours("trial", generation=2), attempt(rollout, 5), 7) is None
