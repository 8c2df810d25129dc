"""A plan looks at all models of each device: one whose memory would not hold them is deferred, with the figures."""

from collections.abc import Callable
from typing import Any

import pytest

from edgefleet_contract.metrics import Metrics
from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_controller.records import DesiredRecord, ManifestForm
from edgefleet_controller.rollouts.memory_room import DeviceRoom, memory_mb
from edgefleet_controller.rollouts.offers import Assigned
from edgefleet_controller.rollouts.plan import PlannedDevice, join, plan
from edgefleet_controller.rollouts.rooms import rooms
from edgefleet_controller.store import Store
from edgefleet_protocol.memory_budget import HeldModel
from edgefleet_protocol.messages import MemoryBudget, ReportedModel, ReportedState, Slot

BUDGET = MemoryBudget(budget_mb=300, agent_mb=40, worker_mb=60)
DOGS, OLD = HeldModel("dogs", 2, 30), HeldModel("fashion", 1, 10)
PROFILE = "eu/rpi4/lte"
SPEC = RolloutSpec(model="fashion", version=2, everyone=True, waves=(1.0,))
FULL = (
    "the models' memory: fashion@2 101 MB, fashion@1 70 MB, dogs@2 90 MB and the agent 40 MB are 301 MB, and the "
    "budget is 300 MB; remove a model, take a smaller variant, or raise the agent's memory_mb"
)


def planned(mb: int | None, room: DeviceRoom, answering: str | None = "old") -> Any:
    offers = {PROFILE: Assigned("new", (ManifestForm("m", 10),), mb)}
    return plan("r", SPEC, [PlannedDevice("a", PROFILE, answering, room=room)], offers, 0)


@pytest.mark.parametrize(
    ("mb", "phase", "detail"), [(40, "assigned", None), (41, "deferred", FULL)], ids=["fits", "does not"]
)
def test_the_old_and_the_new_one_count_beside_all_other_models(mb: int, phase: str, detail: str | None) -> None:
    found = planned(mb, DeviceRoom(BUDGET, (DOGS,), OLD))
    assert [(e.phase, e.detail) for e in found.executions] == [(phase, detail)]
    assert dict(found.room_unknown) == {}
    assert (found.end is None) == (detail is None)


def test_what_runs_it_already_needs_no_room() -> None:
    assert planned(500, DeviceRoom(BUDGET, (DOGS,), OLD), answering="new").executions[0].phase == "already_installed"


@pytest.mark.parametrize(
    ("mb", "room", "why"),
    [
        (40, DeviceRoom(None, (DOGS,), OLD), "their agents report no budget of memory"),
        (None, DeviceRoom(BUDGET, (), OLD), "the memory of fashion@2 was not measured, and counted as nothing"),
        (
            40,
            DeviceRoom(BUDGET, (HeldModel("dogs", 2, None),), HeldModel("fashion", 1, None)),
            "the memory of dogs@2, fashion@1 was not measured, and counted as nothing",
        ),
    ],
)
def test_what_is_not_known_is_said_and_holds_nothing_up(mb: int | None, room: DeviceRoom, why: str) -> None:
    found = planned(mb, room)
    assert (found.executions[0].phase, dict(found.room_unknown)) == ("assigned", {why: 1})


def test_a_device_that_joins_late_is_deferred_likewise(rollout: Callable[..., Any]) -> None:
    device = PlannedDevice("a", PROFILE, None, room=DeviceRoom(BUDGET, (DOGS, DOGS)))
    offers = {PROFILE: Assigned("new", (ManifestForm("m", 10),), 100)}
    joined = join(rollout("staging"), device, offers, 0)
    assert joined.phase == "deferred" and "and the budget is 300 MB" in (joined.detail or "")


def test_a_variant_counts_as_the_larger_of_what_was_measured() -> None:
    assert memory_mb(Metrics(peak_rss_mb=10.2, peak_address_mb=30.5)) == 31
    assert memory_mb(Metrics(peak_rss_mb=10.2)) is None


def slot(manifest: str, version: int = 1) -> Slot:
    return Slot(variant=manifest * 64, manifest=manifest * 64, model_version=version, generation=1)


def test_what_is_wanted_and_what_runs_is_looked_up_of_every_model(
    store: Store, reported: Callable[..., ReportedState], variant: Callable[..., Any]
) -> None:
    def known(model: str, version: int, manifest: str, mb: float) -> Any:
        metrics = Metrics(peak_rss_mb=mb, peak_address_mb=mb)
        return variant(id=manifest * 64, model=model, version=version, manifest=manifest * 64, metrics=metrics)

    fleet = store.fleet
    fleet.registry.put_variants(
        [known("fashion", 1, "a", 10), known("dogs", 1, "b", 20), known("dogs", 2, "c", 30), known("cows", 1, "d", 40)],
        [],
    )
    facts = reported().facts.model_copy(update={"memory": BUDGET})
    runs = {"fashion": slot("a"), "dogs": slot("b"), "lost": slot("e", 7)}
    models = {name: ReportedModel(committed=one, slots=(one,)) for name, one in runs.items()}
    fleet.devices.put_report("one", reported(facts=facts, models=models), 1)
    fleet.devices.put_report("bare", reported(), 1)
    told = {"manifest_bytes": 1, "rollout": None, "activate": True, "trial_s": 1.0, "generation": 2}
    fleet.desired.put(*(DesiredRecord(device="one", model=m, manifest=h * 64, **told) for m, h in [("dogs", "c")]))
    fleet.desired.put(DesiredRecord(device="one", model="cows", manifest="d" * 64, **told))
    assert rooms(fleet, "fashion", ["one", "bare", "nobody"]) == {
        "one": DeviceRoom(
            BUDGET,
            (HeldModel("cows", 1, 40), HeldModel("dogs", 2, 30), HeldModel("lost", 7, None)),
            HeldModel("fashion", 1, 10),
        ),
        "bare": DeviceRoom(),
    }
