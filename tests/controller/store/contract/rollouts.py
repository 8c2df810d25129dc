"""Rollouts, their executions, and what is looked at again and again."""

from collections.abc import Callable
from typing import get_args

import pytest
from tests.controller.store.contract.devices import admit

from edgefleet_contract.rollouts import ExecutionRecord, ReturnView, RolloutPhase
from edgefleet_controller.records import RolloutRecord, VerdictRecord
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.rollouts import DownloadSoFar, Said
from edgefleet_protocol.messages import ReportedState
from edgefleet_protocol.phases import PHASES


def devices(executions: list[ExecutionRecord]) -> list[str]:
    return [execution.device for execution in executions]


class RolloutsContract:
    """What every kind of store must do with what was decided."""

    def test_rollouts_are_by_id_and_the_last_put_counts(
        self, fleet: FleetStore, rollout: Callable[..., RolloutRecord]
    ) -> None:
        first, second = rollout("staging"), rollout("pending").model_copy(update={"id": "02"})
        fleet.rollouts.put(second)
        fleet.rollouts.put(first)
        assert fleet.rollouts.all() == [first, second]
        paused = first.model_copy(update={"state": "paused", "reason": "by hand"})
        fleet.rollouts.put(paused)
        assert fleet.rollouts.get("01") == paused
        assert fleet.rollouts.all("paused", "completed") == [paused]
        assert fleet.rollouts.all("completed") == []

    def test_waves_are_by_number_and_one_that_is_not_put_stays(
        self, fleet: FleetStore, rollout: Callable[..., RolloutRecord]
    ) -> None:
        before = rollout("staging", "pending")
        fleet.rollouts.put(before)
        evidence = ("2 of 3 committed", "p95 5 ms")
        moved = before.waves[1].model_copy(update={"state": "failed", "reason": "why", "evidence": evidence})
        fleet.rollouts.put(before.model_copy(update={"waves": (moved,)}))
        assert fleet.rollouts.get("01").waves == (before.waves[0], moved)

    def test_executions_are_by_wave_and_device_and_the_last_put_counts(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord]
    ) -> None:
        full = execution(
            "a",
            "committed",
            **{"wave": 2, "generation": 4, "directive": "activate", "reason": "r", "detail": "d", "transfer_s": 1.5},
            **{"transfer_bytes": 9, "directed_ms": 1, "heard_ms": 2, "changed_ms": 3, "previous_variant": "e" * 64},
            **{"previous_manifest": "f" * 64, "previous_manifest_bytes": 7, "back_generation": 5},
            **{"back_phase": "trial", "back_reason": "worse", "back_variant": "8" * 64, "back_manifest": "9" * 64},
            **{
                "transfer_total_bytes": 99,
                "back_manifest_bytes": 6,
                "back_why": "the other was rejected",
                "removed_ms": 8,
                "simulated": True,
            },
        )
        fleet.rollouts.put_executions([execution("a", wave=2), execution("c"), execution("b")])
        fleet.rollouts.put_executions(iter([full, execution("a", rollout="02")]))
        assert fleet.rollouts.executions("01") == [execution("b"), execution("c"), full]
        assert fleet.rollouts.executions("03") == []

    def test_pages_of_executions_are_by_device(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord]
    ) -> None:
        fleet.rollouts.put_executions([execution("b", wave=1), execution("a", wave=2), execution("c", wave=1)])
        fleet.rollouts.put_executions([execution("d", rollout="02")])
        assert devices(fleet.rollouts.page_of_executions("01", after="", at_most=2)) == ["a", "b"]
        assert devices(fleet.rollouts.page_of_executions("01", after="b", at_most=2)) == ["c"]

    def test_a_devices_word_concerns_the_rollout_that_it_names_open_ones_and_ways_back(
        self, fleet: FleetStore, rollout: Callable[..., RolloutRecord], execution: Callable[..., ExecutionRecord]
    ) -> None:
        other = rollout("staging").spec.model_copy(update={"model": "other"})
        for number in range(1, 7):
            spec = {"spec": other} if number == 6 else {}
            fleet.rollouts.put(rollout("staging").model_copy(update={"id": f"0{number}", **spec}))
        fleet.rollouts.put_executions(
            [
                execution("d", "committed", rollout="01"),
                execution("d", "committed", rollout="02"),
                execution("d", "trial", rollout="03"),
                execution("d", "committed", rollout="04", back_phase="downloading"),
                execution("d", "committed", rollout="05", back_phase="committed"),
                execution("d", rollout="06"),
                execution("e", rollout="03"),
            ]
        )
        found = fleet.rollouts.concerned(
            [Said("d", "fashion", "02"), Said("d", "other", None), Said("f", "fashion", None)]
        )
        assert {of: [e.rollout for e in executions] for of, executions in found.items()} == {
            ("d", "fashion"): ["02", "03", "04"],
            ("d", "other"): ["06"],
        }
        assert fleet.rollouts.concerned([]) == {}

    def test_an_execution_of_a_rollout_that_is_not_there_concerns_nobody(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord]
    ) -> None:
        fleet.rollouts.put_executions([execution("d")])
        assert fleet.rollouts.concerned([Said("d", "fashion", None)]) == {}

    def test_downloads_are_of_devices_that_fetch_with_the_rates_of_their_links(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord], reported: Callable[..., ReportedState]
    ) -> None:
        so_far = {"transfer_bytes": 30, "transfer_total_bytes": 100, "transfer_s": 1.5}
        fleet.devices.put_report("slow", reported(measured_kbps=20.5), 1)
        fleet.devices.put_report("fast", reported(), 1)
        fleet.rollouts.put_executions(
            [
                execution("slow", "downloading", wave=2, **so_far),
                execution("fast", "downloading", reason="outside_window", **so_far),
                execution("gone", "downloading", **so_far),
                execution("mute", "downloading"),
                execution("done", "committed", **so_far),
                execution("slow", "downloading", rollout="02", **so_far),
            ]
        )
        assert sorted(fleet.rollouts.downloads("01")[:3], key=lambda one: (one.wave, one.held)) == [
            DownloadSoFar(1, 30, 100, 1.5, False, None),
            DownloadSoFar(1, 30, 100, 1.5, True, None),
            DownloadSoFar(2, 30, 100, 1.5, False, 20.5),
        ]
        assert len(fleet.rollouts.downloads("01")) == 3
        assert fleet.rollouts.downloads("03") == []

    def test_counts_are_the_sum_of_the_executions(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord]
    ) -> None:
        fleet.rollouts.put_executions([execution("c", "trial", wave=2), execution("a"), execution("b", "trial")])
        fleet.rollouts.put_executions([execution("d", "trial", back_phase="trial"), execution("e", rollout="02")])
        assert fleet.rollouts.counts("01") == {1: {"assigned": 1, "trial": 2}, 2: {"trial": 1}}
        assert list(fleet.rollouts.counts("01")) == [1, 2]
        assert fleet.rollouts.counts_back("01") == {"trial": 1}
        tallies = fleet.rollouts.tallies("01")
        assert [(t.wave, t.phase, t.devices) for t in tallies] == [(1, "assigned", 1), (1, "trial", 2), (2, "trial", 1)]
        assert {t.profile for t in tallies} == {"eu/rpi4/lte"}
        assert (fleet.rollouts.counts("03"), fleet.rollouts.counts_back("03")) == ({}, {})

    def test_returns_are_counted_by_where_they_lead(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord]
    ) -> None:
        one, two = {"back_variant": "1" * 64, "back_manifest": "a" * 64}, {"back_variant": "2" * 64}
        ways = [
            {**one, "back_phase": "committed"},
            {**one, "back_phase": "trial"},
            {**one, "back_phase": "superseded"},
            {**one, "back_phase": None},
            {**two, "back_phase": "already_installed", "back_why": "why"},
            {"back_phase": "removed"},
            {"back_phase": "assigned"},
        ]
        fleet.rollouts.put_executions([execution(f"d{n}", **way) for n, way in enumerate(ways)])
        fleet.rollouts.put_executions([execution("d", rollout="02", back_phase="committed")])
        assert fleet.rollouts.returns("01") == [
            ReturnView(variant=None, why=None, devices=2, back=1),
            ReturnView(variant="1" * 64, why=None, devices=2, back=1),
            ReturnView(variant="2" * 64, why="why", devices=1, back=1),
        ]
        assert fleet.rollouts.returns("03") == []

    @pytest.mark.parametrize("state", ["completed", "rolled_back", "rollback_incomplete", "running"])
    def test_a_removed_device_changes_nothing_that_a_rollout_has_come_to(
        self,
        fleet: FleetStore,
        rollout: Callable[..., RolloutRecord],
        execution: Callable[..., ExecutionRecord],
        state: str,
    ) -> None:
        fleet.rollouts.put(rollout("passed", "soaking").model_copy(update={"state": state}))
        ways = [
            {"phase": "committed"},
            {"phase": "committed", "back_generation": 3, "back_phase": "committed", "back_variant": "1" * 64},
            {"phase": "committed", "back_generation": 3, "back_phase": "downloading", "back_variant": "1" * 64},
            {"phase": "committed", "back_generation": 3, "back_phase": "removed"},
            {"phase": "failed_rolled_back", "wave": 2},
            {"phase": "no_variant"},
        ]
        fleet.rollouts.put_executions([execution(f"d{n}", **way) for n, way in enumerate(ways)])

        def told() -> list[object]:
            of = fleet.rollouts
            return [of.get("01"), of.counts("01"), of.tallies("01"), of.counts_back("01"), of.returns("01")]

        before = told()
        for n in range(len(ways)):
            admit(fleet, f"d{n}")
            assert fleet.devices.forget(f"d{n}", 9)
        assert told() == before
        assert {e.removed_ms for e in fleet.rollouts.executions("01")} == {9}
        assert all(e.has_left for e in fleet.rollouts.executions("01"))

    def test_a_device_that_comes_back_after_its_removal_has_left_its_rollouts(
        self, fleet: FleetStore, rollout: Callable[..., RolloutRecord], execution: Callable[..., ExecutionRecord]
    ) -> None:
        fleet.rollouts.put(rollout("soaking"))
        ways: list[dict[str, object]] = [{}, {"back_generation": 3, "back_phase": "trial"}]
        fleet.rollouts.put_executions(execution(f"d{n}", "committed", **way) for n, way in enumerate(ways))
        assert fleet.rollouts.owners("fashion", ["d0", "d1"]) == {"d0": "01", "d1": "01"}
        for device in ("d0", "d1"):
            admit(fleet, device)
            fleet.devices.forget(device, 9)
            admit(fleet, device)
        assert fleet.rollouts.owners("fashion", ["d0", "d1"]) == {}
        assert fleet.rollouts.concerned([Said("d0", "fashion", "01"), Said("d1", "fashion", "01")]) == {}

    def test_what_devices_have_committed_is_told_the_latest_first(
        self, fleet: FleetStore, rollout: Callable[..., RolloutRecord], execution: Callable[..., ExecutionRecord]
    ) -> None:
        other = rollout("passed").spec.model_copy(update={"model": "other"})
        for number in range(1, 5):
            spec = {"spec": other} if number == 4 else {}
            fleet.rollouts.put(rollout("passed").model_copy(update={"id": f"0{number}", **spec}))
            variant = str(number) * 64
            phase = "committed" if number != 2 else "failed_no_change"
            fleet.rollouts.put_executions([execution("a", phase, rollout=f"0{number}", variant=variant)])
        fleet.rollouts.put_executions([execution("b", rollout="01"), execution("c", "committed", rollout="01")])
        assert fleet.rollouts.committed_by("fashion", ["a", "b"]) == {"a": ["3" * 64, "1" * 64]}
        assert fleet.rollouts.committed_by("other", ["a"]) == {"a": ["4" * 64]}
        assert fleet.rollouts.committed_by("fashion", []) == {}

    def test_the_last_verdict_on_a_variant_counts_for_each_profile(self, fleet: FleetStore) -> None:
        first = VerdictRecord(
            model="fashion", profile="p", variant="1", manifest="m", rollout="01", passed=True, at_ms=1
        )
        there = first.model_copy(update={"profile": "q", "at_ms": 3})
        later = first.model_copy(update={"passed": False, "rollout": "02", "manifest": "n", "at_ms": 2})
        other = first.model_copy(update={"model": "other"})
        fleet.verdicts.put(there, first)
        fleet.verdicts.put(later, other)
        assert fleet.verdicts.of("fashion") == [later, there]
        assert fleet.verdicts.of("other") == [other]
        fleet.verdicts.put()
        assert fleet.verdicts.of("none") == []

    def test_a_rollout_owns_its_devices_until_it_has_ended_whatever_became_of_their_executions(
        self, fleet: FleetStore, rollout: Callable[..., RolloutRecord], execution: Callable[..., ExecutionRecord]
    ) -> None:
        asked = [f"in-{phase.replace('_', '-')}" for phase in sorted(PHASES)]
        of = dict(zip(asked, sorted(PHASES), strict=True))
        fleet.rollouts.put_executions([execution(device, phase) for device, phase in of.items()])
        staying = {device: "01" for device, phase in of.items() if phase not in ("removed", "superseded")}
        for state in get_args(RolloutPhase):
            fleet.rollouts.put(rollout("soaking").model_copy(update={"state": state}))
            has_ended = state in ("completed", "cancelled", "rolled_back", "rollback_incomplete", "draft")
            assert fleet.rollouts.owners("fashion", asked) == ({} if has_ended else staying), state

    def test_an_owner_is_of_the_same_model_and_the_oldest_of_several(
        self, fleet: FleetStore, rollout: Callable[..., RolloutRecord], execution: Callable[..., ExecutionRecord]
    ) -> None:
        other = rollout("staging").spec.model_copy(update={"model": "other"})
        for number, changes in ((1, {"state": "completed"}), (2, {"spec": other}), (3, {}), (4, {"state": "paused"})):
            fleet.rollouts.put(rollout("staging").model_copy(update={"id": f"0{number}", **changes}))
            fleet.rollouts.put_executions([execution("a", "committed", rollout=f"0{number}")])
        fleet.rollouts.put_executions([execution("b", rollout="04"), execution("c", rollout="gone")])
        assert fleet.rollouts.owners("fashion", ["c", "b", "a", "never"]) == {"a": "03", "b": "04"}
        assert fleet.rollouts.owners("other", ["a", "b"]) == {"a": "02"}
        assert fleet.rollouts.owners("fashion", ["b"]) == {"b": "04"}, "only of those asked for"
        assert fleet.rollouts.owners("fashion", []) == {}

    def test_those_are_found_that_have_changed_since(
        self, fleet: FleetStore, rollout: Callable[..., RolloutRecord]
    ) -> None:
        old, new = (
            rollout("passed").model_copy(update={"id": f"0{at}", "state": "completed", "changed_ms": at})
            for at in (5, 6)
        )
        fleet.rollouts.put(old)
        fleet.rollouts.put(new)
        assert fleet.rollouts.all("completed", changed_since_ms=6) == [new]
        assert fleet.rollouts.all(changed_since_ms=5) == [old, new]
        assert fleet.rollouts.all("running", changed_since_ms=0) == []

    def test_devices_have_moved_on_once_a_later_rollout_of_the_model_has_committed_there(
        self, fleet: FleetStore, rollout: Callable[..., RolloutRecord], execution: Callable[..., ExecutionRecord]
    ) -> None:
        other = rollout("staging").spec.model_copy(update={"model": "other"})
        for id_, changes in (("01", {}), ("02", {}), ("03", {}), ("04", {"spec": other})):
            fleet.rollouts.put(rollout("staging").model_copy(update={"id": id_, **changes}))
        fleet.rollouts.put_executions([execution(device, "committed", rollout="02") for device in "abcdefgh"])
        told = {"rollout": "03", "directive": "activate", "variant": "d" * 64, "back_variant": "b" * 64}
        fleet.rollouts.put_executions(
            [
                execution("a", "committed", rollout="01"),
                *(execution(device, "committed", **told) for device in "bz"),
                execution("c", "trial", **told),
                execution("d", "committed", rollout="04", variant="d" * 64),
                execution("e", "failed_rolled_back", **told),
                execution("f", "committed", back_phase="committed", **told),
                execution("g", "committed", back_phase="downloading", **told),
                execution("h", "committed", back_phase="committed", **{**told, "back_variant": None}),
            ]
        )
        assert fleet.rollouts.moved_on("02") == {"b": "03", "g": "03", "h": "03"}
        assert fleet.rollouts.moved_on("01") == {"a": "02"}
        assert fleet.rollouts.moved_on("none") == {}

    def test_live_executions_are_as_they_are_now_whoever_changed_them(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord]
    ) -> None:
        live = fleet.rollouts.live
        fleet.rollouts.put_executions(
            [execution("b"), execution("a", wave=2), execution("c"), execution("x", rollout="02")]
        )
        assert devices(live.of("01")) == ["b", "c", "a"]
        fleet.rollouts.put_executions([execution("c", "trial"), execution("late"), execution("early")])
        assert devices(live.of("01")) == ["b", "c", "a", "early", "late"], "who came since is behind"
        fleet.devices.forget("a", 5)
        fleet.conflicts.begin("b", "two agents", 6)
        assert [e.phase for e in live.of("01")][:3] == ["deferred", "trial", "removed"]
        by_device = {e.device: e for e in live.of("01")}
        assert by_device == {e.device: e for e in fleet.rollouts.executions("01")}
        live.of("01").clear()
        assert len(live.of("01")) == 5, "the list is the caller's"

    def test_live_executions_of_rollouts_that_ended_are_read_anew(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord]
    ) -> None:
        live = fleet.rollouts.live
        fleet.rollouts.put_executions([execution("b"), execution("c", rollout="02")])
        assert (devices(live.of("01")), devices(live.of("02"))) == (["b"], ["c"])
        fleet.rollouts.put_executions([execution("a"), execution("a", rollout="02")])
        live.keep_only(["02"])
        assert devices(live.of("01")) == ["a", "b"], "by device again"
        assert devices(live.of("02")) == ["c", "a"]
        live.drop("02")
        assert devices(live.of("02")) == ["a", "c"]
