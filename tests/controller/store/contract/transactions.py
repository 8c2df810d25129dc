"""Transactions of the fleet's store: whole or not at all, one at a time, and no trace of what failed."""

import threading
from collections.abc import Callable

import pytest

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.store import FleetStore
from edgefleet_protocol.messages import ReportedState


class KilledError(Exception):
    """Stands for a fault in the midst of a transaction."""


def noted(fleet: FleetStore, subject: str = "s") -> list[str]:
    return [entry.what for entry in fleet.audit.of(subject)]


class TransactionsContract:
    """What every kind of store must do with what is decided together."""

    def test_half_a_decision_is_never_kept(
        self,
        fleet: FleetStore,
        reported: Callable[..., ReportedState],
        rollout: Callable[..., RolloutRecord],
        execution: Callable[..., ExecutionRecord],
    ) -> None:
        fleet.devices.put_report("d", reported(), 1)
        fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=1))
        fleet.rollouts.put(rollout("staging"))
        fleet.rollouts.put_executions([execution("d")])
        fleet.segments.put(SegmentRecord(name="eu", selector="region=eu"))
        with pytest.raises(KilledError), fleet.transaction():
            fleet.devices.forget("d", 9)
            fleet.rollouts.put(rollout("failed").model_copy(update={"state": "paused"}))
            fleet.rollouts.put_executions([execution("e")])
            fleet.segments.put(SegmentRecord(name="eu", selector="region=na"))
            fleet.audit.note(9, "device removed", "d")
            fleet.follow_ups.remove("d")
            raise KilledError
        assert fleet.devices.get("d").status == "accepted"
        assert fleet.rollouts.get("01").state == "running"
        assert [(e.device, e.phase) for e in fleet.rollouts.executions("01")] == [("d", "assigned")]
        assert fleet.segments.get("eu").selector == "region=eu"
        assert (noted(fleet, "d"), fleet.follow_ups.all()) == ([], [])

    def test_what_fails_within_is_undone_and_the_rest_is_kept(self, fleet: FleetStore) -> None:
        with fleet.transaction():
            fleet.audit.note(1, "before", "s")
            with pytest.raises(KilledError), fleet.transaction():
                fleet.audit.note(2, "within", "s")
                raise KilledError
            with fleet.transaction():
                fleet.audit.note(3, "after", "s")
        assert noted(fleet) == ["before", "after"]

    def test_what_ended_within_goes_with_what_it_is_in(self, fleet: FleetStore) -> None:
        with pytest.raises(KilledError), fleet.transaction():
            with fleet.transaction():
                fleet.audit.note(1, "within", "s")
            assert noted(fleet) == ["within"]
            raise KilledError
        assert noted(fleet) == []

    def test_one_thread_has_its_turn_and_others_see_all_of_it_or_nothing(self, fleet: FleetStore) -> None:
        began, found = threading.Event(), []

        def look() -> None:
            began.set()
            found.append(noted(fleet))

        looking = threading.Thread(target=look)
        with fleet.transaction():
            fleet.audit.note(1, "first", "s")
            looking.start()
            assert began.wait(30)
            looking.join(0.05)
            assert found == [], "it waits"
            fleet.audit.note(2, "second", "s")
        looking.join(30)
        assert found == [["first", "second"]]

    def test_who_counts_sees_what_is_committed_and_waits_for_nobody(
        self, fleet: FleetStore, reported: Callable[..., ReportedState], execution: Callable[..., ExecutionRecord]
    ) -> None:
        fleet.devices.put_report("d", reported(), 1)
        fleet.rollouts.put_executions([execution("d"), execution("e", back_phase="trial")])
        counted = []

        def count() -> None:
            devices = sum(fleet.devices.count_devices().values())
            counted.append((devices, fleet.rollouts.counts("01"), fleet.rollouts.counts_back("01")))

        counting = threading.Thread(target=count)
        with fleet.transaction():
            fleet.devices.put_report("e", reported(), 1)
            fleet.devices.forget("d", 1)
            fleet.rollouts.put_executions([execution("f")])
            counting.start()
            counting.join(30)
            assert counted == [(1, {1: {"assigned": 2}}, {"trial": 1})]
        count()
        assert counted[1] == (1, {1: {"assigned": 2, "removed": 1}}, {"trial": 1})

    def test_what_failed_has_moved_no_device(self, fleet: FleetStore, reported: Callable[..., ReportedState]) -> None:
        fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=1))
        seen = fleet.members.revision()
        with pytest.raises(KilledError), fleet.transaction():
            fleet.devices.put_report("d", reported(), 1)
            assert [m.id for m in fleet.members.newcomers("01", "fashion", seen)] == ["d"]
            raise KilledError
        assert fleet.members.newcomers("01", "fashion", None) == []
        fleet.devices.put_report("d", reported(), 1)
        assert [m.id for m in fleet.members.newcomers("01", "fashion", seen)] == ["d"]

    def test_live_executions_are_those_that_are_kept(
        self, fleet: FleetStore, execution: Callable[..., ExecutionRecord]
    ) -> None:
        fleet.rollouts.put_executions([execution("a"), execution("b")])
        assert [e.phase for e in fleet.rollouts.live.of("01")] == ["assigned", "assigned"]
        with pytest.raises(KilledError), fleet.transaction():
            fleet.rollouts.put_executions([execution("a", "trial")])
            raise KilledError
        assert fleet.rollouts.live.of("01") == fleet.rollouts.executions("01")
        with pytest.raises(KilledError), fleet.transaction():
            fleet.rollouts.put_executions([execution("b", "trial")])
            assert [e.phase for e in fleet.rollouts.live.of("01")] == ["assigned", "trial"]
            raise KilledError
        fleet.rollouts.live.drop("01")
        assert fleet.rollouts.live.of("01") == fleet.rollouts.executions("01")

    def test_the_newest_time_is_that_of_a_device_or_of_the_audit(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        assert fleet.newest_ms() == 0
        fleet.audit.note(5, "device added", "d")
        assert fleet.newest_ms() == 5
        fleet.devices.put_report("d", reported(), 9)
        assert fleet.newest_ms() == 9

    def test_lines_of_the_audit_are_in_the_order_of_adding(self, fleet: FleetStore) -> None:
        fleet.audit.note(9, "first", "s", "why")
        fleet.audit.note(3, "other", "t")
        fleet.audit.note(1, "second", "s")
        assert fleet.audit.of("s") == [(9, "first", "why"), (1, "second", None)]

    def test_follow_ups_stay_until_they_are_done(self, fleet: FleetStore) -> None:
        fleet.follow_ups.unplace("d", 7)
        fleet.follow_ups.remove("d")
        first, second = fleet.follow_ups.all()
        assert (first.device, first.what, first.since_ms) == ("d", "unplace", 7)
        assert (second.device, second.what) == ("d", "remove")
        fleet.follow_ups.done([first])
        fleet.follow_ups.done([first])
        assert fleet.follow_ups.all() == [second]
