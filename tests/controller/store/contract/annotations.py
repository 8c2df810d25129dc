"""What operators write on devices: beside what these report, above it, and gone with them."""

from collections.abc import Callable

from tests.controller.store.contract.devices import admit

from edgefleet_controller.records import Annotation
from edgefleet_controller.store import FleetStore
from edgefleet_protocol.messages import ReportedState

WRITTEN = Annotation(labels={"site": "oslo", "tier": "field"}, note="the lid is broken")


class AnnotationsContract:
    """What every kind of store must do with annotations."""

    def test_what_is_written_on_a_device_is_read_again_before_and_after_it_reports(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        assert fleet.annotations.of("d") == Annotation()
        fleet.annotations.put("d", WRITTEN)
        assert fleet.annotations.of("d") == WRITTEN
        fleet.devices.put_report("d", reported(), 1)
        fleet.devices.put_report("e", reported(), 1)
        assert [d.annotation for d in fleet.devices.all()] == [WRITTEN, Annotation()]

    def test_a_label_that_was_set_counts_before_one_that_is_reported_and_outlives_reports(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        admit(fleet, "d")
        fleet.annotations.put("d", WRITTEN)
        for report in (1, 2):
            fleet.devices.put_report("d", reported(report=report, labels={"site": "bergen", "row": "3"}), report)
            (member,) = fleet.members.all()
            assert dict(member.labels) == {"site": "oslo", "tier": "field", "row": "3"}
            assert fleet.devices.get("d").labels == dict(member.labels)
        fleet.annotations.put("d", Annotation())
        assert dict(fleet.members.all()[0].labels) == {"site": "bergen", "row": "3"}

    def test_who_is_annotated_has_moved(self, fleet: FleetStore, reported: Callable[..., ReportedState]) -> None:
        admit(fleet, "d")
        fleet.devices.put_report("d", reported(), 1)
        for written in (WRITTEN, Annotation()):
            seen = fleet.members.revision()
            fleet.annotations.put("d", written)
            assert fleet.members.revision() > seen
            (found,) = fleet.members.newcomers("01", "m", seen)
            assert dict(found.labels) == written.labels

    def test_a_removed_device_comes_back_without_what_was_written_on_it(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        fleet.annotations.put("d", WRITTEN)
        fleet.devices.put_report("d", reported(labels={"row": "3"}), 1)
        fleet.devices.forget("d", 2)
        fleet.devices.put_report("d", reported(labels={"row": "3"}), 3)
        assert fleet.annotations.of("d") == Annotation()
        assert fleet.devices.get("d").labels == {"row": "3"}
