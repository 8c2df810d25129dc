"""How a rollout moves, tick by tick."""

import pytest

from edgefleet_controller.records import Gate, Timers
from edgefleet_controller.rollout import Activate, End, MoveRollout, MoveWave, Stage, advance, after_report


def kinds(decisions) -> list[str]:
    return [type(d).__name__ for d in decisions]


def test_a_pending_wave_stages_its_devices_and_no_others(rollout, execution) -> None:
    decisions = advance(rollout("pending", "pending"), [execution("a"), execution("b", wave=2)], 0)
    assert decisions[0] == MoveWave(1, "staging", "1 devices fetch their variant")
    assert [d.execution.device for d in decisions if isinstance(d, Stage)] == ["a"]


def test_a_device_without_a_variant_is_not_staged(rollout, execution) -> None:
    assert kinds(advance(rollout("pending"), [execution("a", "no_variant")], 0)) == ["MoveWave"]


def test_nobody_switches_before_everybody_has_staged(rollout, execution) -> None:
    members = [execution("a", "staged", directive="stage"), execution("b", "downloading", directive="stage")]
    assert advance(rollout("staging"), members, 1000) == []
    members[1] = execution("b", "staged", directive="stage")
    assert advance(rollout("staging"), members, 1000) == [MoveWave(1, "activating", "2 devices are ready to switch")]


def test_a_slow_download_holds_a_wave_up_only_for_the_staging_time(rollout, execution) -> None:
    members = [execution("a", "staged", directive="stage"), execution("b", "downloading", directive="stage")]
    late = advance(rollout("staging", timers=Timers(staging_s=60)), members, 61_000)
    assert late == [MoveWave(1, "activating", "1 devices are ready to switch")]


def test_staged_devices_switch_few_at_first_and_more_with_every_success(rollout, execution) -> None:
    staged = [execution(f"s{i}", "staged", directive="stage") for i in range(50)]
    first = advance(rollout("activating", concurrency=5), staged, 0)
    assert kinds(first) == ["Activate"] * 5
    committed = [execution(f"c{i}", "committed", directive="activate") for i in range(20)]
    later = advance(rollout("activating", concurrency=5), committed + staged, 0)
    assert kinds(later) == ["Activate"] * 20


def test_devices_that_are_switching_use_up_the_room(rollout, execution) -> None:
    members = [execution("t", "trial", directive="activate"), execution("s", "staged", directive="stage")]
    assert advance(rollout("activating", concurrency=1), members, 0) == []


def test_a_wave_soaks_once_every_device_has_ended_then_passes(rollout, execution) -> None:
    members = [execution("a", "committed", directive="activate")]
    assert advance(rollout("activating"), members, 5_000) == [MoveWave(1, "soaking", "every device has decided")]
    assert advance(rollout("soaking"), members, 5_000) == []
    assert [d.state for d in advance(rollout("soaking"), members, 10_001)] == ["passed"]


def test_the_next_wave_starts_after_the_one_before_has_passed(rollout, execution) -> None:
    members = [execution("a", "committed"), execution("b", wave=2)]
    decisions = advance(rollout("passed", "pending"), members, 0)
    assert [d.execution.device for d in decisions if isinstance(d, Stage)] == ["b"]


def test_a_rollout_completes_when_every_wave_has_passed(rollout) -> None:
    assert advance(rollout("passed", "passed"), [], 0) == [MoveRollout("completed", "every wave passed")]


def test_a_failed_wave_pauses_the_rollout_and_nobody_else_is_touched(rollout, execution) -> None:
    gate = Gate(failure_threshold=0.1, min_decided=1, soak_s=1)
    members = [execution("a", "failed_rolled_back", reason="self_test_failed"), execution("b", wave=2)]
    assert [d.state for d in advance(rollout("activating", "pending", gate=gate), members, 0)][-1] == "failed"
    paused = advance(rollout("failed", "pending", gate=gate), members, 0)
    assert kinds(paused) == ["MoveRollout"]
    assert paused[0].state == "paused"


def test_a_paused_rollout_decides_nothing(rollout, execution) -> None:
    paused = rollout("pending").model_copy(update={"state": "paused"})
    assert advance(paused, [execution("a")], 0) == []


def test_a_device_that_was_never_heard_becomes_unreachable(rollout, execution) -> None:
    members = [execution("a", "assigned", directive="stage", directed_ms=0)]
    ends = advance(rollout("staging", timers=Timers(unreachable_s=10)), members, 10_001)
    assert [(d.execution.device, d.phase) for d in ends if isinstance(d, End)] == [("a", "unreachable")]


def test_a_device_that_fell_silent_on_the_way_times_out(rollout, execution) -> None:
    members = [execution("a", "trial", directive="activate", directed_ms=0, heard_ms=5_000)]
    timers = Timers(silent_s=10)
    assert advance(rollout("activating", timers=timers), members, 15_000) == []
    ends = advance(rollout("activating", timers=timers), members, 15_001)
    assert [(d.execution.device, d.phase) for d in ends if isinstance(d, End)] == [("a", "timed_out")]


def test_past_its_time_a_wave_with_proof_soaks_without_the_rest(rollout, execution) -> None:
    members = [execution("a", "committed"), execution("b", "downloading", directed_ms=99_000)]
    decisions = advance(rollout("activating", timers=Timers(wave_s=100)), members, 100_001)
    assert decisions == [MoveWave(1, "soaking", "its time is up; the rest follow later")]


def test_what_a_device_says_of_itself_moves_its_execution(execution) -> None:
    after = after_report(execution("a", "downloading"), "rejected", "no_space", "need 9, have 1", 7)
    assert (after.phase, after.reason, after.detail, after.heard_ms) == ("rejected", "no_space", "need 9, have 1", 7)


@pytest.mark.parametrize("ended", ["committed", "rejected", "cancelled", "removed", "failed_rolled_back"])
def test_an_execution_that_its_device_ended_never_moves_again(execution, ended) -> None:
    assert after_report(execution("a", ended), "downloading", None, None, 7).phase == ended


@pytest.mark.parametrize("given_up", ["timed_out", "unreachable"])
def test_a_device_that_was_given_up_and_comes_back_is_taken_at_its_word(execution, given_up) -> None:
    assert after_report(execution("a", given_up), "committed", None, None, 7).phase == "committed"


def test_every_decision_is_one_of_the_kinds_that_the_conductor_carries_out(rollout, execution) -> None:
    decisions = advance(rollout("pending"), [execution("a")], 0)
    assert all(isinstance(d, MoveRollout | MoveWave | Stage | Activate | End) for d in decisions)
