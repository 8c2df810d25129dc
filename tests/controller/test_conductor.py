"""What the conductor writes down, against a real store."""

import pytest

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import Judgement
from edgefleet_controller.errors import Refused
from edgefleet_controller.records import DesiredRecord, RolloutRecord
from edgefleet_controller.rollouts.conductor import Conductor
from edgefleet_controller.store import Store
from edgefleet_controller.store.memory import new_store
from edgefleet_protocol.messages import MAX_GENERATION


@pytest.fixture
def store() -> Store:
    return new_store()


@pytest.fixture
def told() -> list[str]:
    return []


class Nobody:
    """No late joiners, and a fault that only one rollout shows."""

    def look(self, rollout: RolloutRecord) -> list:
        if rollout.id == "00":
            raise RuntimeError("a fault that only this rollout shows")
        return []

    def drop(self, rollout: str) -> None:
        pass


@pytest.fixture
def conductor(store: Store, told: list[str]) -> Conductor:
    return Conductor(store, told.extend, Nobody(), tick_s=60)


def desired(rollout: str, generation: int) -> DesiredRecord:
    return DesiredRecord(
        device="a",
        model="fashion",
        generation=generation,
        manifest="c" * 64,
        manifest_bytes=10,
        rollout=rollout,
        activate=True,
        trial_s=1,
    )


def test_a_rollback_leaves_a_device_alone_that_a_later_rollout_has_moved(
    store: Store, conductor: Conductor, rollout, execution
) -> None:
    store.fleet.rollouts.put(rollout("passed").model_copy(update={"state": "completed"}))
    store.fleet.rollouts.put_executions([execution("a", "committed", generation=1, previous_manifest="d" * 64)])
    later = desired("02", 5)
    store.fleet.desired.put(later)
    conductor.order("rollback", "01")
    conductor.tick(1)
    conductor.tick(2)
    assert store.fleet.desired.of("a") == [later]
    assert store.fleet.rollouts.get("01").state == "rolled_back"
    assert store.fleet.rollouts.counts_back("01") == {"superseded": 1}


def test_a_rollback_reaches_a_device_that_a_later_rollout_has_given_back(
    store: Store, conductor: Conductor, rollout, execution
) -> None:
    ours = execution("a", "committed", generation=1, previous_manifest="d" * 64)
    returned = {"back_generation": 5, "back_phase": "committed", "back_variant": ours.variant}
    given_back = execution("a", "committed", rollout="02", generation=4, **returned)
    store.fleet.rollouts.put(rollout("passed").model_copy(update={"state": "completed"}))
    store.fleet.rollouts.put(rollout("failed").model_copy(update={"id": "02", "state": "rolled_back"}))
    store.fleet.rollouts.put_executions([ours, given_back])
    store.fleet.desired.put(desired("02", 5))
    conductor.order("rollback", "01")
    conductor.tick(1)
    (told,) = store.fleet.desired.of("a")
    assert (told.rollout, told.generation, told.manifest) == ("01", 6, "d" * 64)
    assert store.fleet.rollouts.counts_back("01") == {"assigned": 1}


def test_a_rollback_of_an_ended_rollout_is_refused_while_another_one_owns_a_device_of_it(
    store: Store, conductor: Conductor, rollout, execution
) -> None:
    ended = rollout("passed").model_copy(update={"state": "completed"})
    store.fleet.rollouts.put(ended)
    store.fleet.rollouts.put(rollout("soaking").model_copy(update={"id": "02"}))
    store.fleet.rollouts.put_executions([execution("a", "committed", generation=1), execution("b", "committed")])
    store.fleet.rollouts.put_executions([execution("b", rollout="02")])
    with pytest.raises(Refused, match="b is part of rollout 02 for 'fashion', which has not ended"):
        conductor.order("rollback", "01")
    assert store.fleet.rollouts.get("01") == ended
    conductor.order("abort", "02")
    conductor.order("rollback", "01")
    assert store.fleet.rollouts.get("01").state == "rolling_back"


def test_a_device_at_the_last_generation_holds_up_nobody_else(
    store: Store, conductor: Conductor, rollout, execution, reported
) -> None:
    for device, generation in (("liar", MAX_GENERATION), ("a", 3)):
        said = reported(models={"fashion": {"generation": generation}})
        store.fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=1))
        store.fleet.devices.put_report(device, said, 1)
    store.fleet.rollouts.put(rollout("pending"))
    store.fleet.rollouts.put_executions([execution("a"), execution("liar")])
    conductor.tick(1)
    assert [store.fleet.desired.of(device)[0].generation for device in ("a", "liar")] == [4, MAX_GENERATION]


def test_a_rollback_of_the_latest_rollout_goes_to_what_ran_before_at_a_higher_generation(
    store: Store, conductor: Conductor, told: list[str], rollout, execution
) -> None:
    store.fleet.rollouts.put(rollout("passed").model_copy(update={"state": "completed"}))
    store.fleet.rollouts.put_executions([execution("a", "committed", generation=1, previous_manifest="d" * 64)])
    store.fleet.desired.put(desired("01", 1))
    conductor.order("rollback", "01")
    conductor.tick(1)
    (now,) = store.fleet.desired.of("a")
    assert (now.generation, now.manifest, now.rollout, now.activate) == (2, "d" * 64, "01", True)
    assert told == ["a"]


def test_a_fault_in_one_rollout_does_not_hold_up_the_others(
    store: Store, conductor: Conductor, rollout, execution
) -> None:
    for name in ("00", "01"):
        store.fleet.rollouts.put(rollout("pending").model_copy(update={"id": name}))
        store.fleet.rollouts.put_executions([execution(f"device-of-{name}", rollout=name)])
    conductor.tick(10_000)
    assert [store.fleet.rollouts.get(name).waves[0].state for name in ("00", "01")] == ["pending", "staging"]


def test_a_conductor_that_starts_says_again_what_a_pause_took_back(
    store: Store, conductor: Conductor, told: list[str], rollout, execution
) -> None:
    store.fleet.rollouts.put(rollout("activating").model_copy(update={"state": "paused"}))
    store.fleet.rollouts.put_executions(
        [
            execution("held", "staged", generation=1, directive="stage"),
            execution("switched", "committed", generation=1, directive="activate"),
        ]
    )
    conductor.tick(1)
    conductor.tick(2)
    assert told == ["held"]


@pytest.mark.parametrize("answering", [None, "a trial"], ids=["nothing answers yet", "a trial answers"])
def test_what_ran_before_is_what_the_device_has_committed_to(
    store: Store, conductor: Conductor, rollout, execution, reported, answering: str | None
) -> None:
    slots = {name: {"variant": name * 64, "manifest": name * 64, "model_version": 1, "generation": 1} for name in "de"}
    said = {"generation": 2, "committed": slots["d"], "answering": slots["e"] if answering else None}
    store.fleet.devices.admit(AdmissionRecord(device="a", accepted_ms=1))
    store.fleet.devices.put_report("a", reported(models={"fashion": said}), 1)
    store.fleet.rollouts.put(rollout("pending"))
    store.fleet.rollouts.put_executions([execution("a")])
    conductor.tick(1)
    (staged,) = store.fleet.rollouts.executions("01")
    assert staged.previous_manifest == "d" * 64


def test_what_older_controllers_wrote_of_a_wave_outlives_an_order(
    store: Store, conductor: Conductor, rollout, execution
) -> None:
    words = ("412 labels, 71.6% against 90.9%",)
    judgement = Judgement(check="accuracy", profile="p", outcome="passed", words="p: 60 labels")
    older = rollout("soaking")
    waves = (older.waves[0].model_copy(update={"evidence": words}),)
    store.fleet.rollouts.put(older.model_copy(update={"waves": waves}))
    newer = waves[0].model_copy(update={"evidence": ("p: 60 labels",), "judgements": (judgement,)})
    store.fleet.rollouts.put(older.model_copy(update={"id": "02", "waves": (newer,)}))
    for id_ in ("01", "02"):
        conductor.order("abort", id_)
        (wave,) = store.fleet.rollouts.get(id_).waves
        assert wave.state == "inconclusive"
        assert (wave.evidence, wave.judgements) == ((words, ()) if id_ == "01" else (("p: 60 labels",), (judgement,)))


def test_a_wave_that_is_judged_anew_forgets_what_was_judged_before(store: Store, conductor: Conductor, rollout) -> None:
    judgement = Judgement(check="accuracy", profile="p", outcome="failed", words="p: 60 labels")
    failed = rollout("failed")
    wave = failed.waves[0].model_copy(update={"evidence": ("p: 60 labels",), "judgements": (judgement,)})
    store.fleet.rollouts.put(failed.model_copy(update={"state": "paused", "waves": (wave,)}))
    conductor.order("resume", "01")
    (wave,) = store.fleet.rollouts.get("01").waves
    assert (wave.state, wave.evidence, wave.judgements) == ("activating", (), ())
