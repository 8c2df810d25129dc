"""The lifecycle table, row by row: what is in it, what is not, and that every way ends."""

from typing import get_args

import pytest

from edgefleet_agent.errors import NoSuchTransition
from edgefleet_agent.lifecycle import Event, on_the_way, rows, step
from edgefleet_protocol.phases import ENDED, ON_THE_WAY, Phase

PHASES: tuple[Phase, ...] = (*ON_THE_WAY, *sorted(ENDED))
ROWS = rows()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("event", get_args(Event))
def test_every_pair_is_a_row_or_raises(phase: Phase, event: Event) -> None:
    if (phase, event) in ROWS:
        assert step(phase, event) == ROWS[phase, event]
    else:
        with pytest.raises(NoSuchTransition, match=f"'{event}' in phase '{phase}'"):
            step(phase, event)


def test_nothing_leads_out_of_an_end() -> None:
    assert not {phase for phase, _ in ROWS} & ENDED


@pytest.mark.parametrize("phase", [p for p in ON_THE_WAY if p != "assigned"])
def test_a_higher_generation_always_supersedes(phase: Phase) -> None:
    assert step(phase, "superseded")[0] == "superseded"


@pytest.mark.parametrize("phase", [p for p in ON_THE_WAY if p != "assigned"])
def test_every_phase_survives_a_restart(phase: Phase) -> None:
    after, _ = step(phase, "restarted")
    assert after == phase or after in ENDED


def test_a_restart_never_activates() -> None:
    # Whatever was answering the golden set or live when the power went is not tried a second time.
    assert step("self_test", "restarted")[0] == "failed_no_change"
    assert step("trial", "restarted")[0] == "failed_rolled_back"
    assert not [row for row in ROWS if row[1] == "restarted" and ROWS[row][1] in ("self_test", "start_trial", "commit")]


def test_only_a_passed_self_test_begins_a_trial_and_only_a_held_trial_commits() -> None:
    assert [row for row, (_, effect) in ROWS.items() if effect == "start_trial"] == [("self_test", "passed")]
    assert [row for row, (_, effect) in ROWS.items() if effect == "commit"] == [("trial", "held")]


def test_every_phase_on_the_way_can_reach_committed_and_an_end() -> None:
    reach: set[Phase] = {"committed"}
    for _ in PHASES:
        reach |= {phase for (phase, _), (after, _) in ROWS.items() if after in reach}
    assert reach >= set(ON_THE_WAY)


@pytest.mark.parametrize("phase", PHASES)
def test_on_the_way_is_what_has_not_ended(phase: Phase) -> None:
    assert on_the_way(phase) == (phase not in ENDED)
