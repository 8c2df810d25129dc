"""The gate counts decided devices, never all, and the first rule that matches wins."""

import pytest
from pydantic import ValidationError

from edgefleet_contract.rollouts import GATE_CHECKS, Gate, Judgement
from edgefleet_controller.rollouts.gate import judge, sequential_test_rejects

GATE = Gate(success_threshold=0.9, failure_threshold=0.2, min_decided=3, soak_s=10)


def verdict(wave, *, earlier=(), gate=GATE, judgements=(), soaked_s=None, past_deadline=False):
    return judge(gate, wave, earlier, judgements, soaked_s=soaked_s, past_deadline=past_deadline)


@pytest.fixture
def wave(execution):
    def make(**phases: int):
        return [execution(f"{phase}-{i}", phase) for phase, n in phases.items() for i in range(n)]

    return make


def test_one_device_where_nothing_answers_fails_the_wave_at_once(wave) -> None:
    said = verdict(wave(committed=50, failed_unsafe=1))
    assert said.outcome == "failed"
    assert "no variant answers" in said.reason


def test_silent_devices_do_not_dilute_failures(wave) -> None:
    said = verdict(wave(assigned=90, committed=6, failed_no_change=2))
    assert said.outcome == "failed"
    assert "2 of 8 decided" in said.reason


@pytest.mark.parametrize(
    ("devices", "outcome"),
    [
        ({"assigned": 11, "failed_no_change": 1}, "wait"),
        ({"assigned": 8, "committed": 3, "failed_no_change": 1}, "wait"),
        ({"assigned": 10, "failed_no_change": 2}, "failed"),
        ({"committed": 4, "failed_no_change": 1}, "failed"),
        ({"assigned": 2, "failed_no_change": 1}, "failed"),
    ],
    ids=["the first of many", "one of the first", "two", "all are decided", "few"],
)
def test_of_many_devices_one_that_fails_does_not_end_the_wave_before_the_others(
    wave, devices: dict[str, int], outcome: str
) -> None:
    assert verdict(wave(**devices), gate=Gate(min_decided=1)).outcome == outcome


def test_failures_wait_for_the_minimum_of_decided_devices(wave) -> None:
    assert verdict(wave(assigned=5, failed_no_change=2)).outcome == "wait"


def test_a_failure_rate_within_the_threshold_does_not_fail_the_wave(wave) -> None:
    assert verdict(wave(committed=9, rejected=1), soaked_s=11).outcome == "passed"


def test_a_wave_with_too_few_successes_fails_after_its_soak(wave) -> None:
    said = verdict(wave(committed=8, rejected=2), soaked_s=11)
    assert said.outcome == "failed"
    assert "80% of the decided devices committed, 90% needed" in said.reason


def test_a_wave_passes_only_after_its_soak(wave) -> None:
    assert verdict(wave(committed=5)).outcome == "wait"
    assert verdict(wave(committed=5), soaked_s=9.9).outcome == "wait"
    assert verdict(wave(committed=5), soaked_s=10.1).outcome == "passed"


def test_too_few_decided_in_time_is_inconclusive_not_passed(wave) -> None:
    said = verdict(wave(committed=2, assigned=8), past_deadline=True)
    assert said.outcome == "inconclusive"


def test_unreachable_devices_are_no_failures_and_no_successes(wave) -> None:
    assert verdict(wave(committed=3, unreachable=40), soaked_s=11).outcome == "passed"
    assert verdict(wave(unreachable=40), soaked_s=11).outcome == "inconclusive"


def test_a_wave_with_nothing_to_install_is_skipped_and_never_passed(wave) -> None:
    said = verdict(wave(already_installed=2, no_variant=1))
    assert said.outcome == "skipped"
    assert said.reason.endswith("1 without a variant, 2 already running it")


@pytest.mark.parametrize(
    "phases", [{"removed": 2}, {"committed": 2}, {"committed": 1, "removed": 1}, {"unreachable": 2}]
)
@pytest.mark.parametrize("soaked_s", [None, 11])
def test_a_wave_whose_devices_were_all_removed_is_inconclusive_at_once(wave, phases, soaked_s) -> None:
    gone = [e.model_copy(update={"removed_ms": 5}) for e in wave(**phases)]
    said = verdict(gone, soaked_s=soaked_s)
    assert said.outcome == "inconclusive"
    assert said.reason.startswith("all 2 devices of this wave were removed, so nothing was judged")
    assert verdict([*gone, *wave(no_variant=1)], soaked_s=soaked_s).reason.startswith(
        "no device of this wave is left: 2 removed, 1 without a variant"
    )


def test_a_wave_that_loses_all_who_decided_is_inconclusive(wave) -> None:
    gone = [e.model_copy(update={"removed_ms": 5}) for e in wave(committed=3)]
    said = verdict([*gone, *wave(unreachable=1)], soaked_s=11)
    assert (said.outcome, said.reason) == (
        "inconclusive",
        "every device that decided was removed, so nothing was judged",
    )


def test_a_failure_counts_although_its_device_was_removed(wave) -> None:
    gone = [e.model_copy(update={"removed_ms": 5}) for e in wave(failed_unsafe=1)]
    assert verdict(gone).outcome == "failed"
    lost = [e.model_copy(update={"removed_ms": 5}) for e in wave(rejected=3)]
    assert verdict([*lost, *wave(committed=2)]).outcome == "failed"


@pytest.mark.parametrize("phase", ["superseded", "deferred", "cancelled"])
def test_a_wave_whose_devices_were_taken_away_is_inconclusive(wave, phase: str) -> None:
    said = verdict(wave(**{phase: 2}, no_variant=1), soaked_s=11)
    assert said.outcome == "inconclusive"
    assert f"2 {phase}" in said.reason


def test_a_wave_that_passes_says_whom_it_did_not_count(wave) -> None:
    members = wave(committed=3, no_variant=2, removed=1)
    members[0] = members[0].model_copy(update={"removed_ms": 5})
    passed = verdict(members, soaked_s=11)
    assert passed.outcome == "passed"
    assert passed.reason == (
        "3 of 3 decided devices committed; 1 of these removed since; not counted: 2 without a variant, 1 removed"
    )


def test_a_small_wave_is_not_asked_for_more_decided_devices_than_it_has(wave) -> None:
    assert verdict(wave(committed=1), soaked_s=11).outcome == "passed"


@pytest.mark.parametrize(
    ("failed", "decided", "rejects"),
    [
        (2, 4, False),
        (2, 5, True),
        (2, 20, False),
        (3, 20, True),
        (1, 5, False),
        (0, 500, False),
        (5, 100, True),
        (4, 100, False),
    ],
)
def test_the_sequential_test_weighs_failures_against_successes(failed, decided, rejects) -> None:
    assert sequential_test_rejects(failed, decided) is rejects


def test_evidence_of_earlier_waves_counts_in_the_sequential_test(wave, execution) -> None:
    gate = GATE.model_copy(update={"failure_threshold": 0.5})
    now = wave(committed=3, rejected=1)
    assert verdict(now, gate=gate).outcome == "wait"
    before = [execution("x", "rejected"), execution("y", "failed_rolled_back")]
    assert verdict(now, gate=gate, earlier=before).outcome == "failed"


def judgements(profile: str = "eu/rpi4/lte", **unjudged: str) -> list[Judgement]:
    """One of each check; those named could not be judged, for the reason given."""
    return [
        Judgement(
            check=check,
            profile=profile,
            outcome="not_judged" if check in unjudged else "passed",
            words=unjudged.get(check, f"{profile}: {check} is fine"),
        )
        for check in GATE_CHECKS
    ]


def test_a_wave_that_passes_says_what_could_not_be_judged_and_why(wave) -> None:
    unjudged = judgements(accuracy="no labels yet", latency="nothing to compare with")
    said = verdict(wave(committed=3), judgements=unjudged, soaked_s=11)
    assert said.outcome == "passed"
    assert said.reason == (
        "3 of 3 decided devices committed; not judged: accuracy (no labels yet), latency (nothing to compare with)"
    )
    assert verdict(wave(committed=3), judgements=judgements(), soaked_s=11).reason == "3 of 3 decided devices committed"


def test_a_reason_that_holds_for_some_profiles_names_them(wave) -> None:
    profiles = [f"p{number}" for number in range(6)]
    found = [j for p in profiles for j in judgements(p, **({} if p == "p5" else {"accuracy": "no labels yet"}))]
    said = verdict(wave(committed=3), judgements=found, soaked_s=11).reason
    assert said.endswith("; not judged: accuracy (p0, p1, p2 and 2 more: no labels yet)")


@pytest.mark.parametrize("check", GATE_CHECKS)
def test_a_wave_without_evidence_that_is_required_is_inconclusive(wave, check: str) -> None:
    gate = Gate.model_validate({**GATE.model_dump(), "require": [check]})
    said = verdict(wave(committed=3), gate=gate, judgements=judgements(**{check: "no labels yet"}), soaked_s=11)
    assert (said.outcome, said.reason) == (
        "inconclusive",
        f"{check} is required, and could not be judged: no labels yet",
    )
    assert verdict(wave(committed=3), gate=gate, judgements=judgements(), soaked_s=11).outcome == "passed"
    assert verdict(wave(committed=3), gate=gate, soaked_s=11).outcome == "inconclusive", "nothing was looked at"


def test_evidence_that_is_required_of_every_profile_is_lacking_if_one_has_none(wave) -> None:
    gate = GATE.model_copy(update={"require": ("accuracy",)})
    found = [*judgements("p1"), *judgements("p2", accuracy="no labels yet")]
    said = verdict(wave(committed=3), gate=gate, judgements=found, soaked_s=11)
    assert said.reason == "accuracy is required, and could not be judged: p2: no labels yet"


@pytest.mark.parametrize(
    "settings", [{"min_devices": 0}, {"min_devices": -1}, {"require": ["speed"]}, {"require": "accuracy"}]
)
def test_a_gate_that_asks_for_nonsense_is_refused(settings: dict) -> None:
    with pytest.raises(ValidationError):
        Gate.model_validate(settings)


def test_what_is_required_twice_is_required_once() -> None:
    assert Gate.model_validate({"require": ["latency", "accuracy", "latency"]}).require == ("accuracy", "latency")
