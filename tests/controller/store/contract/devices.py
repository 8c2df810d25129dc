"""Devices: what they report, who belongs to the fleet, who is in conflict, and who is forgotten."""

from collections.abc import Callable

import pytest
from tests.controller.store.contract.registry import desired

from edgefleet_contract.devices import AdmissionRecord, HeardRecord
from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.devices import KnownSender, OnDevice, RunningVariant
from edgefleet_protocol.messages import Attempt, MemoryBudget, ReportedModel, ReportedState, Slot

ZERO, ONE, TWO = "0" * 32, "1" * 32, "2" * 32


def admit(fleet: FleetStore, *devices: str, profile: str | None = None) -> None:
    for device in devices:
        fleet.devices.admit(AdmissionRecord(device=device, profile=profile, accepted_ms=7))


def slot(variant: str = "b", version: int = 3) -> Slot:
    return Slot(variant=variant * 64, manifest="c" * 64, model_version=version, generation=1)


class DevicesContract:
    """What every kind of store must do with devices."""

    def test_an_older_snapshot_of_the_same_life_is_not_kept(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        assert fleet.devices.put_report("d", reported(boot=2, report=5), 1)
        assert not fleet.devices.put_report("d", reported(boot=2, report=5), 2)
        assert not fleet.devices.put_report("d", reported(boot=1, report=9), 3)
        assert fleet.devices.put_report("d", reported(boot=3, report=1), 4)
        found = fleet.devices.get("d")
        assert (found.first_seen_ms, found.last_seen_ms, found.reported.boot) == (1, 4, 3)

    def test_a_device_born_again_counts_from_the_start(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        fleet.devices.put_report("d", reported(boot=9, report=9), 1)
        assert fleet.devices.put_report("d", reported(incarnation=TWO, boot=1, report=1), 2)
        assert fleet.devices.get("d").incarnation == TWO

    def test_what_a_device_reported_is_read_as_it_was(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        said = reported(labels={"tier": "field"}, models={"m": ReportedModel(generation=4, answering=slot())})
        fleet.devices.put_reports({"d": said, "e": reported()}, 5)
        found = fleet.devices.find("d")
        assert found is not None
        assert (found.reported, found.online, found.status, found.added_as) == (said, True, "pending", None)
        assert found.profile == "eu/rpi4/lte"
        assert fleet.devices.find("f") is None

    def test_a_last_will_marks_only_the_life_that_it_belongs_to(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        fleet.devices.put_report("d", reported(), 5)
        fleet.devices.put_presence("d", TWO, False, 6)
        assert fleet.devices.get("d").online
        fleet.devices.put_presence("d", ZERO, False, 7)
        found = fleet.devices.get("d")
        assert (found.online, found.last_seen_ms) == (False, 5), "who goes is not heard by it"
        fleet.devices.put_presence("d", ZERO, True, 8)
        fleet.devices.put_presence("d", ZERO, True, 4)
        assert (fleet.devices.get("d").online, fleet.devices.get("d").last_seen_ms) == (True, 8)
        fleet.devices.put_presence("nobody", ZERO, True, 9)
        assert fleet.devices.find("nobody") is None

    def test_who_was_not_heard_is_gone(self, fleet: FleetStore, reported: Callable[..., ReportedState]) -> None:
        fleet.devices.put_report("a", reported(), 5)
        fleet.devices.put_report("b", reported(), 6)
        fleet.devices.put_unheard(6)
        assert [device.online for device in fleet.devices.all()] == [False, True]

    def test_devices_belong_to_the_fleet_once_they_are_admitted_before_or_after_they_report(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        admit(fleet, "added", profile="eu/rpi4/lte")
        fleet.devices.put_report("waits", reported(), 1)
        assert [a.device for a in fleet.devices.expected()] == ["added"]
        assert (fleet.devices.count_pending(), fleet.devices.admission("waits")) == (1, None)
        fleet.devices.put_report("added", reported(), 2)
        assert fleet.devices.expected() == []
        assert [(d.id, d.status, d.added_as) for d in fleet.devices.all()] == [
            ("added", "accepted", "eu/rpi4/lte"),
            ("waits", "pending", None),
        ]
        admit(fleet, "waits")
        assert (fleet.devices.count_pending(), fleet.devices.all("pending")) == (0, [])
        assert [d.id for d in fleet.devices.all("accepted")] == ["added", "waits"]
        assert fleet.devices.admission("waits") == AdmissionRecord(device="waits", accepted_ms=7)

    def test_what_is_known_of_a_sender(self, fleet: FleetStore, reported: Callable[..., ReportedState]) -> None:
        admit(fleet, "added", "known")
        fleet.devices.put_report("known", reported(boot=3, report=4), 1)
        fleet.conflicts.begin("known", "two agents", 2)
        found = fleet.devices.standings(["stranger", "added", "known"])
        assert found == {
            "stranger": KnownSender(),
            "added": KnownSender(accepted=True),
            "known": KnownSender(ZERO, 3, 4, accepted=True, in_conflict=True),
        }
        assert fleet.devices.standings([]) == {}

    def test_links_that_were_found_slow_are_known_with_their_rates(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        fleet.devices.put_report("slow", reported(measured_kbps=61.5), 1)
        fleet.devices.put_report("fine", reported(), 1)
        assert fleet.devices.measured_kbps() == {"slow": 61.5}
        fleet.devices.put_report("slow", reported(report=9), 2)
        assert fleet.devices.measured_kbps() == {}

    def test_what_lies_on_the_disks_of_devices_is_known_of_all_models(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        both = (slot("b"), slot("d", 4))
        mine, bare = ReportedModel(slots=both, answering=slot("b")), ReportedModel(generation=1)
        models = {"m-1": mine, "other": ReportedModel(slots=both[:1])}
        fleet.devices.put_report("a", reported(models=models, features=frozenset({"held-files"})), 1)
        fleet.devices.put_report("b", reported(models={"m-1": bare}), 1)
        fleet.devices.put_report("c", reported(), 1)
        first, second = (one.manifest for one in both)
        found = fleet.devices.on_devices(["a", "b", "nobody"])
        assert found == {
            "a": OnDevice(
                features=frozenset({"held-files"}),
                slots={"m-1": (first, second), "other": (first,)},
                runs={"m-1": RunningVariant(first, 3)},
            ),
            "b": OnDevice(),
        }
        budget = MemoryBudget(budget_mb=300, agent_mb=40, worker_mb=80)
        facts = reported().facts.model_copy(update={"memory": budget})
        fleet.devices.put_report("b", reported(report=9, facts=facts, models={"m-1": bare}), 2)
        assert fleet.devices.on_devices(["b"]) == {"b": OnDevice(memory=budget)}
        assert fleet.devices.on_devices([]) == {}

    def test_senders_are_those_of_the_fleet_with_their_profiles_unless_two_agents_claim_them(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        admit(fleet, "added", "known", "doubled")
        for device in ("known", "doubled", "pending"):
            fleet.devices.put_report(device, reported(), 1)
        fleet.conflicts.begin("doubled", "two agents", 2)
        found = fleet.devices.senders(["added", "known", "doubled", "pending", "nobody"])
        assert found == {"added": None, "known": ("eu", "rpi4", "lte"), "doubled": None}

    def test_devices_and_their_models_are_counted(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        attempt = Attempt(generation=1, phase="trial")
        trying = ReportedModel(committed=slot("b"), answering=slot("d", 4), attempt=attempt)
        for device, models in (("a", {"m": trying}), ("b", {"m": trying}), ("c", {"m": ReportedModel()}), ("p", {})):
            fleet.devices.put_report(device, reported(models=models), 1)
        admit(fleet, "a", "b", "c")
        fleet.devices.put_presence("b", ZERO, False, 2)
        assert fleet.devices.count_devices() == {
            ("accepted", "false", "eu", "rpi4", "lte"): 1,
            ("accepted", "true", "eu", "rpi4", "lte"): 2,
            ("pending", "true", "eu", "rpi4", "lte"): 1,
        }
        assert fleet.devices.count_models() == {
            ("m", "", "", "rpi4", ""): 1,
            ("m", "3", "b" * 64, "rpi4", "trial"): 2,
        }, "what a device is committed to counts, not what it tries"

    def test_who_reported_last_and_who_before(self, fleet: FleetStore, reported: Callable[..., ReportedState]) -> None:
        assert fleet.conflicts.current("d") is None
        fleet.devices.put_report("d", reported(), 5)
        assert fleet.conflicts.current("d") == HeardRecord(incarnation=ZERO, last_seen_ms=5)
        fleet.conflicts.keep("d", HeardRecord(incarnation=ONE, last_seen_ms=2), forget_before_ms=0)
        fleet.conflicts.keep("d", HeardRecord(incarnation=TWO, last_seen_ms=3), forget_before_ms=3)
        assert fleet.conflicts.others("d") == [HeardRecord(incarnation=TWO, last_seen_ms=3)]

    def test_a_conflict_names_each_incarnation_once_the_last_heard_first(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        fleet.devices.put_report("d", reported(), 5)
        fleet.devices.put_report("e", reported(), 5)
        for incarnation, heard_ms in ((ZERO, 1), (ONE, 2), (TWO, 9)):
            heard = HeardRecord(incarnation=incarnation, last_seen_ms=heard_ms)
            fleet.conflicts.keep("d", heard, forget_before_ms=0)
        assert (fleet.conflicts.find("d"), fleet.conflicts.since_ms("d")) == (None, None)
        fleet.conflicts.begin("d", "two agents", 6)
        found = fleet.conflicts.find("d")
        assert found is not None
        assert (found.since_ms, fleet.conflicts.since_ms("d")) == (6, 6)
        assert [(h.incarnation, h.last_seen_ms) for h in found.incarnations] == [(TWO, 9), (ZERO, 5), (ONE, 2)]
        assert (fleet.conflicts.all(), fleet.conflicts.count()) == ({"d": found}, 1)
        fleet.conflicts.end("d")
        assert (fleet.conflicts.all(), fleet.conflicts.count()) == ({}, 0)

    def test_what_is_under_way_on_a_device_in_conflict_is_deferred(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord]
    ) -> None:
        before = [execution("d", "trial", reason="no_space"), execution("d", "committed", rollout="02"), execution("e")]
        fleet.rollouts.put_executions(before)
        fleet.conflicts.begin("d", "two agents", 6)
        changes = {"phase": "deferred", "reason": None, "detail": "two agents", "changed_ms": 6}
        assert fleet.rollouts.executions("01") == [before[0].model_copy(update=changes), before[2]]
        assert fleet.rollouts.executions("02") == [before[1]]

    def test_a_device_is_forgotten_wholly_and_its_executions_end(
        self, fleet: FleetStore, reported: Callable[..., ReportedState], execution: Callable[..., ExecutionRecord]
    ) -> None:
        admit(fleet, "d", "e")
        fleet.devices.put_reports({"d": reported(), "e": reported()}, 1)
        fleet.desired.put(desired("d"), desired("e"))
        fleet.conflicts.keep("d", HeardRecord(incarnation=ONE, last_seen_ms=1), forget_before_ms=0)
        fleet.conflicts.begin("d", "two agents", 2)
        phases = ("trial", "committed", "failed_rolled_back")
        executions = [execution("d", phase, rollout=f"0{n}") for n, phase in enumerate(phases, start=3)]
        fleet.rollouts.put_executions([*executions, execution("d", "committed", rollout="06", back_phase="committed")])
        assert fleet.devices.forget("d", 9)
        assert (fleet.devices.find("d"), fleet.devices.admission("d"), fleet.desired.of("d")) == (None, None, [])
        assert (fleet.conflicts.others("d"), fleet.conflicts.count()) == ([], 0)
        assert [d.id for d in fleet.devices.all()] == ["e"]
        assert fleet.desired.of("e")
        left = [fleet.rollouts.executions(rollout)[0] for rollout in ("03", "04", "05", "06")]
        assert [(e.phase, e.back_phase, e.removed_ms) for e in left] == [
            ("removed", None, 9),
            ("committed", None, 9),
            ("failed_rolled_back", None, 9),
            ("committed", "committed", 9),
        ]
        assert (left[0].detail, left[0].changed_ms, left[1].changed_ms) == ("the device was removed", 9, 0)
        assert all(e.simulated for e in left)
        admit(fleet, "d")
        fleet.devices.forget("d", 10)
        assert all(fleet.rollouts.executions(rollout)[0].simulated for rollout in ("03", "06")), "as it was then"
        assert [fleet.rollouts.executions(rollout)[0].removed_ms for rollout in ("03", "06")] == [9, 9]

    def test_whether_a_forgotten_device_stood_in_for_its_hardware_is_kept(
        self, fleet: FleetStore, reported: Callable[..., ReportedState], execution: Callable[..., ExecutionRecord]
    ) -> None:
        itself = reported().facts.model_copy(update={"simulated": False})
        fleet.devices.put_reports({"itself": reported(facts=itself), "other": reported()}, 1)
        fleet.rollouts.put_executions([execution(device) for device in ("itself", "mute", "other")])
        admit(fleet, "mute")
        for device in ("itself", "mute", "other"):
            assert fleet.devices.forget(device, 2)
        assert [(e.device, e.simulated) for e in fleet.rollouts.executions("01")] == [
            *(("itself", False), ("mute", False), ("other", True)),
        ]

    @pytest.mark.parametrize("known", ["added", "reported", "neither"])
    def test_forgetting_says_whether_there_was_a_device(
        self, fleet: FleetStore, reported: Callable[..., ReportedState], known: str
    ) -> None:
        if known == "added":
            admit(fleet, "d")
        if known == "reported":
            fleet.devices.put_report("d", reported(), 1)
        assert fleet.devices.forget("d", 1) is (known != "neither")
        assert not fleet.devices.forget("d", 1)
