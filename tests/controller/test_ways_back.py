"""A rollback never restores a variant that has been rejected: the rule, and what the conductor makes of it."""

import pytest

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_controller.records import RolloutRecord, VerdictRecord
from edgefleet_controller.rollouts.conductor import Conductor
from edgefleet_controller.rollouts.rollout import End, MoveRollout, MoveWave
from edgefleet_controller.rollouts.verdicts import verdicts
from edgefleet_controller.rollouts.ways_back import WayBack, way_back
from edgefleet_controller.store import Store
from edgefleet_controller.store.memory import new_store
from edgefleet_protocol.messages import Slot

FIRST, SECOND, THIRD = "1" * 64, "2" * 64, "3" * 64
HERE = "eu/rpi4/lte"


def manifest_of(variant: str) -> str:
    return "e" + variant[1:]


def verdict(variant: str, passed: bool, at_ms: int = 0, profile: str = HERE) -> VerdictRecord:
    return VerdictRecord(
        model="fashion",
        profile=profile,
        variant=variant,
        manifest=manifest_of(variant),
        rollout=f"r{at_ms}",
        passed=passed,
        at_ms=at_ms,
    )


def to(variant: str) -> tuple[str, str]:
    return variant, manifest_of(variant)


@pytest.fixture
def third(execution):
    """A device that rolls to the third variant, and ran the second one before."""
    before = {"previous_variant": SECOND, "previous_manifest": manifest_of(SECOND)}
    return execution("a", variant=THIRD, manifest=manifest_of(THIRD), **before)


@pytest.mark.parametrize(
    "known",
    [
        [],
        [verdict(SECOND, True)],
        [verdict(FIRST, True, 1), verdict(SECOND, False, profile="eu/rpi5/lte")],
        [verdict(THIRD, False)],
    ],
    ids=["nothing known", "it passed", "rejected elsewhere", "the new one was rejected"],
)
def test_the_way_back_leads_to_what_ran_before_unless_that_was_rejected(third, known) -> None:
    assert way_back(third, known, []) == WayBack(*to(SECOND))


def test_from_a_rejected_variant_it_leads_to_the_last_that_passed_on_the_device_itself(third) -> None:
    other = "4" * 64
    known = [verdict(FIRST, True, 1), verdict(other, True, 2), verdict(SECOND, False, 3)]
    found = way_back(third, known, [SECOND, FIRST])
    assert (found.variant, found.manifest) == to(FIRST)
    assert found.why == (
        "variant 222222222222, which ran before, was rejected in rollout r3; 111111111111 is the last one that passed"
    )


def test_a_device_that_ran_none_takes_the_last_that_passed_on_its_profile(third) -> None:
    later, elsewhere = "4" * 64, "5" * 64
    known = [verdict(FIRST, True, 1), verdict(later, True, 2), verdict(SECOND, False, 3)]
    found = way_back(third, [*known, verdict(elsewhere, True, 4, "na/rpi4/lte")], [SECOND])
    assert (found.variant, found.manifest) == to(later)


@pytest.mark.parametrize("others", [[], [verdict(FIRST, False, 1)], [verdict(THIRD, True, 1)]])
def test_where_none_has_passed_it_leads_nowhere_and_says_so(third, others) -> None:
    found = way_back(third, [*others, verdict(SECOND, False, 3)], [SECOND, FIRST, THIRD])
    assert (found.variant, found.manifest) == (None, None)
    assert found.why and found.why.endswith("was rejected in rollout r3, and none has passed on eu/rpi4/lte")


def test_where_nothing_ran_before_it_leads_to_nothing(execution) -> None:
    assert way_back(execution("a", variant=THIRD), [verdict(FIRST, True)], []) == WayBack(None, None)


def test_a_wave_that_passes_speaks_for_what_its_devices_have_committed(rollout, execution) -> None:
    members = [
        execution("a", "committed", variant=FIRST),
        execution("b", "committed", variant=SECOND, profile="eu/rpi5/lte"),
        execution("c", "failed_no_change", variant=THIRD, profile="eu/x/lte", directive="activate"),
        execution("d", "committed", variant=THIRD, wave=2),
        execution("e", "no_variant", variant=None, manifest=None),
    ]
    found = verdicts(rollout("soaking"), members, [MoveWave(1, "passed", "")], 7)
    assert [(v.variant, v.profile, v.passed, v.rollout, v.at_ms) for v in found] == [
        (FIRST, HERE, True, "01", 7),
        (SECOND, "eu/rpi5/lte", True, "01", 7),
    ]


@pytest.mark.parametrize("decision", [MoveWave(1, "failed", ""), MoveRollout("rolling_back", "an operator")])
def test_a_wave_that_fails_and_a_rollback_speak_against_all_that_devices_switched_to(
    rollout, execution, decision
) -> None:
    members = [
        execution("a", "committed", variant=FIRST, directive="activate"),
        execution("b", "trial", variant=SECOND, directive="activate", wave=2),
        execution("c", "staged", variant=THIRD, directive="stage"),
    ]
    found = verdicts(rollout("soaking"), members, [decision], 7)
    assert {(v.variant, v.passed) for v in found} == {(FIRST, False), (SECOND, False)}


@pytest.mark.parametrize(
    "decision", [MoveWave(1, "inconclusive", ""), MoveWave(1, "soaking", ""), MoveRollout("cancelled", "")]
)
def test_other_decisions_say_nothing_of_a_variant(rollout, execution, decision) -> None:
    member = execution("a", "committed", directive="activate")
    assert verdicts(rollout("soaking"), [member], [decision, End(member, "removed", "")], 7) == []


class Nobody:
    def look(self, rollout: RolloutRecord) -> list:
        return []

    def drop(self, rollout: str) -> None:
        pass


@pytest.fixture
def store(reported) -> Store:
    """A device that has committed the first variant, then the second, with the slots of both."""
    made = new_store()
    for variant in (FIRST, SECOND, THIRD):
        made.fleet.registry.put_blob(manifest_of(variant), 10, deliverable=True)
    made.fleet.devices.admit(AdmissionRecord(device="a", accepted_ms=1))
    slot = Slot(variant=SECOND, manifest=manifest_of(SECOND), model_version=2, generation=2)
    made.fleet.devices.put_report("a", reported(models={"fashion": {"generation": 2, "committed": slot}}), 1)
    return made


@pytest.fixture
def conductor(store: Store) -> Conductor:
    return Conductor(store, lambda _: None, Nobody(), tick_s=60)


def staged_third(store: Store, conductor: Conductor, rollout, execution) -> None:
    store.fleet.rollouts.put(rollout("pending"))
    store.fleet.rollouts.put_executions([execution("a", variant=THIRD, manifest=manifest_of(THIRD))])
    conductor.tick(10)


def rolled_back(store: Store, conductor: Conductor, phase: str) -> tuple[str, str | None]:
    """Roll the third back; what the device was told, and what the rollout says once it is there."""
    store.fleet.rollouts.put_executions(
        e.model_copy(update={"phase": phase, "directive": "activate"}) for e in store.fleet.rollouts.executions("01")
    )
    conductor.order("rollback", "01")
    conductor.tick(20)
    (told,) = store.fleet.desired.of("a")
    done = {"back_phase": "committed" if told.manifest else "removed"}
    store.fleet.rollouts.put_executions(e.model_copy(update=done) for e in store.fleet.rollouts.executions("01"))
    conductor.tick(30)
    return told.manifest or "", store.fleet.rollouts.get("01").reason


@pytest.mark.parametrize("phase", ["committed", "failed_rolled_back", "staged"])
def test_a_rollback_past_a_rejected_variant_goes_to_the_last_that_passed_and_says_so(
    store: Store, conductor: Conductor, rollout, execution, phase: str
) -> None:
    store.fleet.verdicts.put(verdict(FIRST, True, 1), verdict(SECOND, False, 2))
    staged_third(store, conductor, rollout, execution)
    (desired,) = store.fleet.desired.of("a")
    assert desired.keep == manifest_of(FIRST), "the device must not drop the way back"
    assert store.fleet.references.manifests() >= {manifest_of(FIRST)}, "nor may the controller"
    assert rolled_back(store, conductor, phase) == (
        manifest_of(FIRST),
        "an operator rolled it back; variant 111111111111 answers on 1 device: variant 222222222222, which ran before, "
        "was rejected in rollout r2; 111111111111 is the last one that passed",
    )
    (returned,) = store.fleet.rollouts.returns("01")
    assert (returned.variant, returned.devices, returned.back) == (FIRST, 1, 1)


def test_where_none_has_passed_the_device_serves_nothing_and_the_rollout_says_so(
    store: Store, conductor: Conductor, rollout, execution
) -> None:
    store.fleet.verdicts.put(verdict(SECOND, False, 2))
    staged_third(store, conductor, rollout, execution)
    assert store.fleet.desired.of("a")[0].keep == manifest_of(THIRD), "the rejected one must not stand in for it"
    told, reason = rolled_back(store, conductor, "committed")
    assert told == ""
    assert reason and "nothing answers on 1 device: variant 222222222222, which ran before, was rejected" in reason
    (returned,) = store.fleet.rollouts.returns("01")
    assert (returned.variant, returned.devices, returned.back) == (None, 1, 1)


def test_a_variant_rejected_elsewhere_on_the_profile_after_the_start_is_not_restored_either(
    store: Store, conductor: Conductor, rollout, execution
) -> None:
    store.fleet.verdicts.put(verdict(FIRST, True, 1), verdict(SECOND, True, 2))
    staged_third(store, conductor, rollout, execution)
    assert store.fleet.desired.of("a")[0].keep is None
    store.fleet.verdicts.put(verdict(SECOND, False, 15))
    told, _ = rolled_back(store, conductor, "committed")
    assert told == manifest_of(FIRST)


def test_a_version_that_was_removed_is_no_way_back(store: Store, conductor: Conductor, rollout, execution) -> None:
    gone = "7" * 64
    store.fleet.verdicts.put(verdict(FIRST, True, 1), verdict(gone, True, 2), verdict(SECOND, False, 3))
    staged_third(store, conductor, rollout, execution)
    assert store.fleet.desired.of("a")[0].keep == manifest_of(FIRST)


def test_a_gates_verdict_and_an_operators_rollback_are_remembered(
    store: Store, conductor: Conductor, rollout, execution
) -> None:
    store.fleet.rollouts.put(rollout("soaking"))
    store.fleet.rollouts.put_executions([execution("a", "committed", variant=FIRST, directive="activate")])
    conductor.tick(60_000)
    assert [(v.variant, v.passed) for v in store.fleet.verdicts.of("fashion")] == [(FIRST, True)]
    conductor.tick(60_001)
    conductor.order("rollback", "01")
    assert [(v.variant, v.passed) for v in store.fleet.verdicts.of("fashion")] == [(FIRST, False)]
