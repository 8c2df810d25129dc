"""How a rollout moves, tick by tick."""

import pytest

from edgefleet_contract.rollouts import Gate, Judgement, Timers
from edgefleet_controller.errors import Refused
from edgefleet_controller.rollouts.orders import Verb, decide
from edgefleet_controller.rollouts.own_silence import LONGEST_GAP_MS, OwnSilence
from edgefleet_controller.rollouts.rollout import (
    Activate,
    End,
    Hold,
    MoveRollout,
    MoveWave,
    Return,
    Stage,
    advance,
    after_report,
)


def kinds(decisions) -> list[str]:
    return [type(d).__name__ for d in decisions]


def test_a_pending_wave_stages_its_devices_and_no_others(rollout, execution) -> None:
    decisions = advance(rollout("pending", "pending"), [execution("a"), execution("b", wave=2)], 0)
    assert decisions[0] == MoveWave(1, "staging", "1 device to fetch")
    assert [d.execution.device for d in decisions if isinstance(d, Stage)] == ["a"]


def test_a_device_without_a_variant_is_not_staged_and_the_wave_says_so(rollout, execution) -> None:
    members = [execution("a", "no_variant"), execution("b")]
    assert advance(rollout("pending"), members, 0) == [
        MoveWave(1, "staging", "1 device to fetch, 1 without a variant"),
        Stage(members[1]),
    ]


def test_a_wave_without_anything_to_install_is_skipped_and_the_next_one_begins(rollout, execution) -> None:
    members = [execution("a", "no_variant"), execution("b", "committed", wave=2)]
    (skipped,) = advance(rollout("pending", "pending"), members, 0)
    assert isinstance(skipped, MoveWave)
    assert (skipped.number, skipped.state) == (1, "skipped")
    assert skipped.reason == "no device of this wave has anything to install: 1 without a variant"
    assert [(d.number, d.state) for d in advance(rollout("skipped", "pending"), members, 0)] == [(2, "staging")]
    assert advance(rollout("skipped", "passed"), members, 0) == [
        MoveRollout(
            "completed", "every wave passed but 1, which had nothing to install; not counted: 1 without a variant"
        )
    ]
    (ended,) = advance(rollout("skipped"), members[:1], 0)
    assert isinstance(ended, MoveRollout)
    assert ended.state == "cancelled"


@pytest.mark.parametrize("state", ["pending", "staging", "activating", "soaking"])
def test_a_wave_whose_devices_were_all_removed_pauses_its_rollout_until_it_is_aborted(
    rollout, execution, state: str
) -> None:
    members = [execution(d, "removed", removed_ms=5) for d in "ab"] + [execution("c", wave=2)]
    words = "all 2 devices of this wave were removed, so nothing was judged: abort the rollout, and start another"
    assert advance(rollout(state, "pending"), members, 0) == [MoveWave(1, "inconclusive", words)]
    assert advance(rollout("inconclusive", "pending"), members, 0) == [
        MoveRollout("paused", "wave 1 is inconclusive: None")
    ]
    paused = rollout("inconclusive", "pending").model_copy(update={"state": "paused"})
    resumed = decide("resume", paused, members)
    assert [d.state for d in resumed] == ["running", "activating"]
    assert advance(rollout("activating", "pending"), members, 0) == [MoveWave(1, "inconclusive", words)]
    assert [d.state for d in decide("abort", paused, members) if isinstance(d, MoveRollout)] == ["cancelled"]


def test_nobody_switches_before_everybody_has_staged(rollout, execution) -> None:
    members = [execution("a", "staged", directive="stage"), execution("b", "downloading", directive="stage")]
    assert advance(rollout("staging"), members, 1000) == []
    members[1] = execution("b", "staged", directive="stage")
    assert advance(rollout("staging"), members, 1000) == [MoveWave(1, "activating", "2 devices ready to switch")]


def test_a_slow_download_holds_a_wave_up_only_for_the_staging_time(rollout, execution) -> None:
    members = [execution("a", "staged", directive="stage"), execution("b", "downloading", directive="stage")]
    late = advance(rollout("staging", timers=Timers(staging_s=60)), members, 61_000)
    assert late == [MoveWave(1, "activating", "1 device ready to switch, 1 to follow")]


def test_staged_devices_switch_few_at_first_and_more_with_every_success(rollout, execution) -> None:
    staged = [execution(f"s{i}", "staged", directive="stage") for i in range(50)]
    first = advance(rollout("activating", concurrency=5), staged, 0)
    assert kinds(first) == ["Activate"] * 5
    committed = [execution(f"c{i}", "committed", directive="activate") for i in range(20)]
    later = advance(rollout("activating", concurrency=5), committed + staged, 0)
    assert kinds(later) == ["Activate"] * 20


@pytest.mark.parametrize("state", ["staging", "activating", "soaking"])
def test_a_device_that_joins_a_wave_under_way_is_staged(rollout, execution, state: str) -> None:
    members = [execution("a", "committed", directive="activate"), execution("late")]
    assert advance(rollout(state), members, 1000) == [Stage(members[1])]


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


@pytest.mark.parametrize(("policy", "becomes"), [("pause", "paused"), ("roll_back", "rolling_back")])
def test_a_failed_wave_ends_the_rollout_by_its_policy_and_nobody_else_is_touched(
    rollout, execution, policy: str, becomes: str
) -> None:
    gate = Gate(failure_threshold=0.1, min_decided=1, soak_s=1)
    members = [execution("a", "failed_rolled_back", reason="self_test_failed"), execution("b", wave=2)]
    assert [d.state for d in advance(rollout("activating", "pending", gate=gate), members, 0)][-1] == "failed"
    failed = rollout("failed", "pending", gate=gate)
    spec = failed.spec.model_copy(update={"on_failure": policy})
    ended = advance(failed.model_copy(update={"spec": spec}), members, 0)
    assert kinds(ended) == ["MoveRollout"]
    assert ended[0].state == becomes


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


@pytest.mark.parametrize(
    ("listening_since_ms", "given_up"), [(None, []), (190_000, []), (189_999, ["on-its-way", "new"])]
)
def test_no_device_is_given_up_for_a_silence_that_was_our_own(
    rollout, execution, listening_since_ms: int | None, given_up: list[str]
) -> None:
    members = [
        execution("on-its-way", "downloading", directive="stage", directed_ms=0, heard_ms=5_000),
        execution("new", "assigned", directive="stage", directed_ms=0),
    ]
    timers = Timers(silent_s=10, unreachable_s=20)
    decisions = advance(rollout("staging", timers=timers), members, 200_000, (), listening_since_ms)
    assert [d.execution.device for d in decisions if isinstance(d, End)] == given_up


def test_we_listen_from_the_first_tick_with_the_broker_and_anew_after_it_was_away_or_we_slept() -> None:
    hearing = OwnSilence()
    asleep_ms = 4_000 + LONGEST_GAP_MS + 1
    ticks = [(1_000, True), (2_000, True), (3_000, False), (4_000, True), (asleep_ms, True), (asleep_ms - 1, True)]
    assert [hearing.at(*tick) for tick in ticks] == [1_000, 1_000, None, 4_000, asleep_ms, asleep_ms - 1]


def test_a_device_that_is_given_up_is_not_told_to_switch_in_the_same_turn(rollout, execution) -> None:
    members = [execution("a", "staged", directive="stage", directed_ms=0, heard_ms=0)]
    decisions = advance(rollout("activating", timers=Timers(silent_s=10)), members, 10_001)
    assert kinds(decisions) == ["End", "MoveWave"], "and with nobody left the wave goes on"


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


def test_a_variant_that_behaves_badly_fails_its_wave_at_once_with_the_evidence(rollout, execution) -> None:
    members = [execution("a", "committed", directive="activate"), execution("b", "staged", directive="stage")]
    bad = Judgement(check="accuracy", profile="p", outcome="failed", words="412 labels, 71.6% against 90.9%")
    fine = Judgement(check="latency", profile="p", outcome="passed", words="p95 1 ms against 1 ms")
    decisions = advance(rollout("activating"), members, 0, [bad, fine])
    assert decisions == [MoveWave(1, "failed", bad.words, (bad, fine))], "and nobody else switches"


def test_a_completed_rollout_says_what_no_wave_could_judge(rollout) -> None:
    def judged(check: str, outcome: str, words: str) -> Judgement:
        return Judgement.model_validate({"check": check, "profile": "p", "outcome": outcome, "words": words})

    waves = (
        (judged("accuracy", "not_judged", "no labels yet"), judged("latency", "passed", "fine")),
        (judged("accuracy", "not_judged", "3 labels, 50 needed"), judged("latency", "not_judged", "none is left")),
    )
    passed = rollout("passed", "passed")
    told = zip(passed.waves, waves, strict=True)
    passed = passed.model_copy(
        update={"waves": tuple(wave.model_copy(update={"judgements": found}) for wave, found in told)}
    )
    words = "every wave passed; not judged: accuracy (3 labels, 50 needed)"
    assert advance(passed, [], 0) == [MoveRollout("completed", words)]


def rolling_back(rollout, **timers):
    return rollout("failed", timers=Timers(**timers)).model_copy(
        update={"state": "rolling_back", "reason": "it failed"}
    )


def test_everyone_who_was_told_something_goes_back_once(rollout, execution) -> None:
    members = [
        execution("committed", "committed", generation=2),
        execution("in-trial", "trial", generation=2),
        execution("staged", "staged", generation=2),
        execution("silent", "unreachable", generation=2),
        execution("returned-by-itself", "failed_rolled_back", generation=2),
        execution("never-told", "assigned"),
    ]
    returns = [d.execution.device for d in advance(rolling_back(rollout), members, 0) if isinstance(d, Return)]
    assert returns == ["committed", "in-trial", "staged", "silent"]
    told = [e.model_copy(update={"back_generation": 3, "back_phase": "assigned"}) for e in members[:4]]
    assert advance(rolling_back(rollout), told, 0) == []


@pytest.mark.parametrize(
    ("back", "ends"),
    [
        ("committed", "it failed; variant eeeeeeeeeeee answers on 1 device"),
        ("already_installed", "it failed; variant eeeeeeeeeeee answers on 1 device"),
        ("superseded", "it failed"),
    ],
)
def test_a_rollback_ends_when_everyone_is_back_and_says_what_answers(rollout, execution, back: str, ends: str) -> None:
    to = {"back_variant": "e" * 64, "back_manifest": "f" * 64}
    members = [execution("a", "superseded", generation=2, back_generation=3, back_phase=back, **to)]
    assert advance(rolling_back(rollout), members, 0) == [MoveRollout("rolled_back", ends)]


@pytest.mark.parametrize(
    ("gone", "said"), [(1, "1 device removed before it was"), (2, "2 devices removed before they were")]
)
def test_a_rollback_waits_for_no_device_that_was_removed_and_says_so(rollout, execution, gone: int, said: str) -> None:
    told = {"generation": 2, "back_generation": 3, "back_variant": "e" * 64}
    members = [execution("a", "committed", **told, back_phase="committed")]
    members += [execution(f"b{n}", "committed", **told, back_phase="trial", removed_ms=9) for n in range(gone)]
    members.append(execution("never-told", "committed", generation=2, removed_ms=9))
    assert advance(rolling_back(rollout), members, 0) == [
        MoveRollout("rolled_back", f"it failed; variant eeeeeeeeeeee answers on 1 device; {said} back")
    ]


def test_an_order_moves_no_device_that_was_removed(rollout, execution) -> None:
    gone = execution("a", "rejected", reason="no_space", generation=2, removed_ms=9)
    assert decide("abort", rollout("passed"), [gone]) == [MoveRollout("cancelled", "an operator aborted it")]


def test_a_rollback_says_where_nothing_answers_and_why(rollout, execution) -> None:
    gone = {"back_generation": 3, "back_phase": "removed"}
    members = [
        execution("a", "committed", generation=2, **gone),
        execution("b", "committed", generation=2, **gone, back_why="it was rejected"),
        execution("c", "committed", generation=2, **gone, back_why="it was rejected"),
    ]
    (ended,) = advance(rolling_back(rollout), members, 0)
    assert ended == MoveRollout(
        "rolled_back", "it failed; nothing answers on 2 devices: it was rejected; nothing answers on 1 device"
    )


@pytest.mark.parametrize("phase", ["rejected", "failed_no_change", "failed_rolled_back"])
def test_a_device_that_kept_what_ran_before_returns_only_if_that_was_rejected(rollout, execution, phase: str) -> None:
    told = execution("a", phase, generation=2, previous_manifest="e" * 64, back_manifest="e" * 64)
    elsewhere = execution("b", phase, generation=2, previous_manifest="e" * 64, back_manifest="f" * 64)
    nowhere = execution("c", phase, generation=2, previous_manifest="e" * 64)
    decisions = advance(rolling_back(rollout), [told, elsewhere, nowhere], 0)
    assert [d.execution.device for d in decisions if isinstance(d, Return)] == ["b", "c"]


def test_a_rollback_that_does_not_end_in_time_names_who_is_not_back(rollout, execution) -> None:
    members = [
        execution("a", "committed", generation=2, back_generation=3, back_phase="committed"),
        execution("gone", "committed", generation=2, back_generation=3, back_phase="assigned"),
    ]
    ended = advance(rolling_back(rollout, return_s=10), members, 10_001)
    assert ended == [MoveRollout("rollback_incomplete", "it failed; not back yet: gone")]


def test_pausing_takes_the_word_back_from_whoever_has_not_acted_on_it(rollout, execution) -> None:
    members = [execution("a", "staged", directive="activate"), execution("b", "trial", directive="activate")]
    decisions = decide("pause", rollout("activating"), members)
    assert kinds(decisions) == ["MoveRollout", "Hold"]
    assert decisions[1] == Hold(members[0])
    paused = rollout("activating").model_copy(update={"state": "paused"})
    assert advance(paused, [execution("s", "staged", directive="stage")], 0) == []


def test_resuming_judges_a_failed_wave_anew(rollout) -> None:
    paused = rollout("passed", "failed", "pending").model_copy(update={"state": "paused"})
    decisions = decide("resume", paused, [])
    assert [(d.state) for d in decisions] == ["running", "activating"]


def test_aborting_ends_what_is_under_way_and_leaves_what_is_committed(rollout, execution) -> None:
    members = [
        execution("done", "committed", generation=2),
        execution("half", "downloading", generation=2),
        execution("not-begun", "assigned"),
    ]
    decisions = decide("abort", rollout("staging"), members)
    assert kinds(decisions) == ["MoveRollout", "MoveWave", "Return", "End"]
    assert (decisions[2].execution.device, decisions[2].execution.phase) == ("half", "cancelled")
    assert decisions[3].execution.device == "not-begun"


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        (
            ("committed",),
            "1 device keeps what failed in wave 1: `edgefleet rollout rollback {id}` returns what ran before",
        ),
        (("committed", "committed", "failed_rolled_back"), "2 devices keep what failed in wave 1: "),
        (("failed_rolled_back", "assigned"), None),
    ],
)
def test_aborting_after_a_failed_wave_says_who_keeps_what_failed(rollout, execution, phases, told: str | None) -> None:
    paused = rollout("failed", "pending").model_copy(update={"state": "paused"})
    members = [execution(f"d{n}", phase, generation=2) for n, phase in enumerate(phases)]
    (moved, *_) = decide("abort", paused, members)
    said = "an operator aborted it" if told is None else f"an operator aborted it; {told.format(id=paused.id)}"
    assert isinstance(moved, MoveRollout) and str(moved.reason).startswith(said)
    assert told is not None or moved.reason == said


@pytest.mark.parametrize(
    ("verb", "state"),
    [("pause", "paused"), ("pause", "completed"), ("resume", "running"), ("abort", "completed"), ("rollback", "draft")],
)
def test_an_order_that_makes_no_sense_is_refused_with_the_state(rollout, verb: str, state: str) -> None:
    with pytest.raises(Refused, match=f"is {state}"):
        decide(verb, rollout("pending").model_copy(update={"state": state}), [])


@pytest.mark.parametrize("verb", ["abort", "rollback"])
@pytest.mark.parametrize("state", ["staging", "activating", "soaking"])
def test_the_wave_that_an_order_ends_says_so_and_keeps_its_evidence(rollout, verb: Verb, state: str) -> None:
    under_way = rollout("passed", state, "pending")
    told = (Judgement(check="latency", profile="p", outcome="passed", words="p95 5 ms"),)
    seen = under_way.waves[1].model_copy(update={"judgements": told})
    under_way = under_way.model_copy(update={"waves": (under_way.waves[0], seen, under_way.waves[2])})
    (moved,) = [d for d in decide(verb, under_way, []) if isinstance(d, MoveWave)]
    done = {"abort": "aborted it", "rollback": "rolled it back"}[verb]
    assert moved == MoveWave(2, "inconclusive", f"an operator {done} before the gate had decided", told)


@pytest.mark.parametrize("state", ["pending", "passed", "failed", "inconclusive"])
def test_an_order_leaves_a_wave_that_is_not_under_way(rollout, state: str) -> None:
    assert not [d for d in decide("abort", rollout(state), []) if isinstance(d, MoveWave)]
