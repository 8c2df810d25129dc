"""A device is never told of a manifest that its agent could not run as meant."""

import json
from collections.abc import Callable

import pytest
from tests.cards import card

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.records import ChoiceRecord, DesiredRecord, ModelRecord, VariantRecord
from edgefleet_controller.rollouts.directions import Directions
from edgefleet_controller.rollouts.launch import plan_rollout, start_rollout
from edgefleet_controller.store import Store
from edgefleet_controller.store.memory import new_store
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol.messages import ReportedState

MANIFEST = "c" * 64
NEW, OLD = frozenset({"pairs", "tasks"}), frozenset[str]()


@pytest.fixture
def store() -> Store:
    return new_store()


class Heard:
    """What was published, by topic."""

    def __init__(self) -> None:
        self.said: dict[str, dict] = {}

    def publish(self, topic: str, data: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self.said[topic.split("/")[3]] = json.loads(data)


@pytest.fixture
def join(store: Store, reported: Callable[..., ReportedState]) -> Callable[[str, frozenset[str]], None]:
    def report(device: str, features: frozenset[str], number: int = 1) -> None:
        store.fleet.devices.put_report(device, reported(features=features, report=number), 0)
        store.fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=0))

    return report


@pytest.fixture
def built(store: Store, variant: Callable[..., VariantRecord]) -> None:
    """A variant for the profile of all devices here that needs two features."""
    store.fleet.registry.put_model(ModelRecord(name="fashion", version=1, files={}, card=card(), created_ms=0))
    needing = variant(manifest=MANIFEST, needs=("pairs", "tasks"))
    choice = ChoiceRecord(model="fashion", version=1, profile="eu/rpi4/lte", variant=needing.id, reasons={})
    store.fleet.registry.put_variants([needing], [choice])


def spec() -> RolloutSpec:
    return RolloutSpec(model="fashion", version=1, waves=(1.0,))


def test_a_plan_defers_the_device_and_says_what_its_agent_lacks(store: Store, join, built) -> None:
    join("old", OLD)
    join("new", NEW)
    _, planned = plan_rollout(store.fleet, load_catalogue(), spec())
    found = {e.device: (e.phase, e.detail) for e in planned.executions}
    assert found["new"] == ("assigned", None)
    assert found["old"] == ("deferred", "its agent lacks pairs, tasks, which the variant needs: upgrade the agent")


@pytest.mark.parametrize("step", ["stage", "activate"])
def test_a_device_that_was_downgraded_after_the_plan_is_deferred_at_the_next_step(
    store: Store, join, built, step: str
) -> None:
    join("a", NEW)
    join("b", NEW)
    rollout = start_rollout(store.fleet, load_catalogue(), spec())
    join("b", OLD, 2)
    executions = store.fleet.rollouts.executions(rollout.id)
    with store.fleet.transaction():
        getattr(Directions(store.fleet), step)(rollout, executions, 5)
    assert {e.device: e.phase for e in store.fleet.rollouts.executions(rollout.id)} == {
        "a": "assigned",
        "b": "deferred",
    }
    assert [record.device for device in "ab" for record in store.fleet.desired.of(device)] == ["a"]


OLDER = {"older_manifest": "d" * 64, "older_manifest_bytes": 20}


@pytest.fixture
def in_two_forms(store: Store, built: None) -> None:
    """A variant for the profile of all devices here, with a manifest for agents without reduced answers."""
    (known,) = store.fleet.registry.variants()
    newest = known.model_copy(update={"needs": ("reduced-answers",), **OLDER})
    store.fleet.registry.put_variants([newest], [])


ABLE = frozenset({"reduced-answers"})


def told(store: Store, device: str) -> list[tuple[str | None, int]]:
    return [(record.manifest, record.manifest_bytes) for record in store.fleet.desired.of(device)]


def test_each_agent_is_told_of_the_form_that_it_obeys_and_keeps_it(store: Store, join, in_two_forms) -> None:
    join("old", OLD)
    join("new", ABLE)
    join("downgraded", ABLE)
    rollout = start_rollout(store.fleet, load_catalogue(), spec())
    join("downgraded", OLD, 2)
    directions = Directions(store.fleet)
    with store.fleet.transaction():
        directions.stage(rollout, store.fleet.rollouts.executions(rollout.id), 5)
    expected = {"old": ("d" * 64, 20), "new": (MANIFEST, 10), "downgraded": ("d" * 64, 20)}
    assert {device: told(store, device) for device in expected} == {d: [form] for d, form in expected.items()}
    join("old", ABLE, 2)
    with store.fleet.transaction():
        directions.activate(rollout, store.fleet.rollouts.executions(rollout.id), 6)
    assert {device: told(store, device) for device in expected} == {d: [form] for d, form in expected.items()}
    heard = Heard()
    DesiredPublisher(store, heard).desire(expected)
    assert {d: said["models"]["fashion"]["manifest"] for d, said in heard.said.items()} == {
        device: manifest for device, (manifest, _) in expected.items()
    }


def test_a_device_that_was_told_of_the_newest_form_is_deferred_when_its_agent_is_downgraded(
    store: Store, join, in_two_forms
) -> None:
    join("a", ABLE)
    rollout = start_rollout(store.fleet, load_catalogue(), spec())
    with store.fleet.transaction():
        Directions(store.fleet).stage(rollout, store.fleet.rollouts.executions(rollout.id), 5)
    join("a", OLD, 2)
    with store.fleet.transaction():
        Directions(store.fleet).activate(rollout, store.fleet.rollouts.executions(rollout.id), 6)
    (execution,) = store.fleet.rollouts.executions(rollout.id)
    assert execution.phase == "deferred"
    assert execution.detail == "its agent lacks reduced-answers, which the variant needs: upgrade the agent"


@pytest.mark.parametrize(
    ("features", "before", "back"),
    [
        (OLD, MANIFEST, ("d" * 64, 20)),
        (OLD, "d" * 64, ("d" * 64, 20)),
        (ABLE, MANIFEST, (MANIFEST, 10)),
        (ABLE, "d" * 64, ("d" * 64, 20)),
    ],
    ids=["downgraded", "as it was", "the newest", "upgraded since, and what it has is no download"],
)
def test_a_way_back_is_told_in_a_form_that_the_agent_obeys(
    store: Store, join, in_two_forms, execution, features: frozenset[str], before: str, back: tuple[str, int]
) -> None:
    join("a", features)
    rollout = start_rollout(store.fleet, load_catalogue(), spec())
    with store.fleet.transaction():
        Directions(store.fleet).send_back(rollout, [execution("a", rollout=rollout.id, previous_manifest=before)], 5)
    assert told(store, "a") == [back]
    (kept,) = store.fleet.rollouts.executions(rollout.id)
    assert (kept.back_manifest, kept.back_manifest_bytes) == back


def test_a_way_back_to_what_a_downgraded_agent_cannot_run_is_not_told(store: Store, join, built, execution) -> None:
    join("a", OLD)
    rollout = start_rollout(store.fleet, load_catalogue(), spec())
    with store.fleet.transaction():
        Directions(store.fleet).send_back(rollout, [execution("a", rollout=rollout.id, previous_manifest=MANIFEST)], 5)
    assert store.fleet.desired.of("a") == []
    (kept,) = store.fleet.rollouts.executions(rollout.id)
    assert (kept.back_phase, kept.is_back) == ("superseded", True)
    assert "its agent lacks pairs, tasks" in (kept.back_reason or "")


def test_what_was_told_to_an_agent_before_its_downgrade_is_not_told_again(store: Store, join, built) -> None:
    record = DesiredRecord(
        device="a",
        model="fashion",
        generation=3,
        manifest=MANIFEST,
        manifest_bytes=10,
        rollout=None,
        activate=True,
        trial_s=1,
    )
    other = record.model_copy(update={"model": "speech", "manifest": "e" * 64})
    store.fleet.desired.put(record, other)
    heard = Heard()
    join("a", NEW)
    DesiredPublisher(store, heard).desire(["a"])
    assert sorted(heard.said["a"]["models"]) == ["fashion", "speech"]
    join("a", OLD, 2)
    DesiredPublisher(store, heard).desire(["a"])
    assert sorted(heard.said["a"]["models"]) == ["speech"]
