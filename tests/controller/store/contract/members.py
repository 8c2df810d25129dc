"""The fleet at a glance: what selectors and plans ask, and who has moved since the last look."""

from collections.abc import Callable

from tests.controller.store.contract.devices import admit, slot

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.store import FleetStore
from edgefleet_protocol.messages import Attempt, Facts, ReportedModel, ReportedState


def facts(hardware: str = "rpi5") -> Facts:
    return Facts(hardware=hardware, region="eu", link="lte", arch="aarch64", cores=4, ram_mb=4096)


class MembersContract:
    """What every kind of store must tell of many devices at once."""

    def test_members_are_by_id_and_of_one_status_or_of_any(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        for device in ("c", "a", "d", "b"):
            fleet.devices.put_report(device, reported(), 1)
        admit(fleet, "d", "a", "b", "expected")
        assert [m.id for m in fleet.members.all()] == ["a", "b", "d"]
        assert [m.id for m in fleet.members.all(status="pending")] == ["c"]
        assert [m.id for m in fleet.members.all(status=None)] == ["a", "b", "c", "d"]
        assert [m.id for m in fleet.members.all(status=None, after="a", at_most=2)] == ["b", "c"]
        assert {m.id for m in fleet.members.some(["b", "c", "expected", "nobody"])} == {"b"}

    def test_a_member_is_what_its_device_reported(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        models = {"m": ReportedModel(generation=4, committed=slot("b"), answering=slot("d")), "n": ReportedModel()}
        said = reported(labels={"tier": "field", "a": "b"}, models=models, features=["two", "one"])
        fleet.devices.put_report("d", said, 1)
        admit(fleet, "d")
        (member,) = fleet.members.all("m")
        assert (member.profile, dict(member.labels)) == ("eu/rpi4/lte", {"a": "b", "tier": "field"})
        assert (member.generation, member.variant, member.manifest) == (4, "b" * 64, "c" * 64)
        assert member.features == {"one", "two"}
        for model in ("n", "unknown", None):
            (member,) = fleet.members.some(["d"], model)
            assert (member.generation, member.variant, member.manifest) == (0, None, None)

    def test_a_model_that_a_device_no_longer_reports_is_not_its_own(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        admit(fleet, "d")
        fleet.devices.put_report("d", reported(models={"m": ReportedModel(answering=slot())}), 1)
        fleet.devices.put_report("d", reported(report=2), 2)
        assert fleet.members.all("m")[0].variant is None

    def test_a_revision_grows_with_who_appears_is_accepted_labelled_or_elsewhere_and_with_nothing_else(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        numbers = iter(range(1, 100))

        def moves(change: Callable[[], object]) -> bool:
            before = fleet.members.revision()
            change()
            after = fleet.members.revision()
            assert after >= before
            return after > before

        def report(**fields: object) -> bool:
            return fleet.devices.put_report("d", reported(report=next(numbers), **fields), 1)

        assert moves(report)
        assert not moves(report)
        assert moves(lambda: report(labels={"tier": "field"}))
        assert moves(lambda: report(labels={"tier": "lab"}))
        assert not moves(lambda: report(labels={"tier": "lab"}, spooled_windows=5))
        assert moves(lambda: report(labels={"tier": "lab"}, facts=facts()))
        assert moves(lambda: admit(fleet, "d"))
        assert not moves(lambda: fleet.devices.put_presence("d", "0" * 32, False, 9))
        assert not moves(lambda: fleet.devices.put_unheard(10))

    def test_newcomers_are_of_the_fleet_in_no_execution_and_have_moved_since(
        self, fleet: FleetStore, reported: Callable[..., ReportedState], execution: Callable[..., ExecutionRecord]
    ) -> None:
        for device in ("old", "pending", "planned"):
            fleet.devices.put_report(device, reported(), 1)
        admit(fleet, "old", "planned", "expected")
        fleet.rollouts.put_executions([execution("planned")])
        seen = fleet.members.revision()
        assert {m.id for m in fleet.members.newcomers("01", "m", None)} == {"old"}
        assert fleet.members.newcomers("01", "m", seen) == []
        fleet.devices.put_report("planned", reported(report=2, labels={"a": "b"}), 2)
        fleet.devices.put_report("expected", reported(models={"m": ReportedModel(answering=slot())}), 2)
        admit(fleet, "pending")
        found = {m.id: m.variant for m in fleet.members.newcomers("01", "m", seen)}
        assert found == {"expected": "b" * 64, "pending": None}
        assert {m.id for m in fleet.members.newcomers("02", "m", None)} == {"old", "planned", "expected", "pending"}

    def test_a_removed_device_is_nobody_until_it_comes_back(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        admit(fleet, "d")
        fleet.devices.put_report("d", reported(), 1)
        fleet.devices.forget("d", 2)
        assert (fleet.members.all(), fleet.members.newcomers("01", "m", None)) == ([], [])
        seen = fleet.members.revision()
        fleet.devices.put_report("d", reported(), 3)
        admit(fleet, "d")
        assert [m.id for m in fleet.members.newcomers("01", "m", seen)] == ["d"]

    def test_what_a_later_rollout_gave_is_known(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        def given(rollout: str | None) -> ReportedState:
            attempt = Attempt(generation=1, rollout=rollout, phase="committed")
            return reported(models={"m": ReportedModel(attempt=attempt), "n": ReportedModel()})

        for device, number in (("first", "1"), ("later", "3")):
            fleet.devices.put_report(device, given(number * 32), 1)
        fleet.devices.put_report("by-hand", given(None), 1)
        asked = ["first", "later", "by-hand", "nobody"]
        assert fleet.members.given_later(asked, "m", "2" * 32) == {"later"}
        assert fleet.members.given_later(asked, "n", "2" * 32) == set()
        assert fleet.members.given_later(["first"], "m", "0" * 32) == {"first"}

    def test_profiles_are_those_of_the_fleet_each_once(
        self, fleet: FleetStore, reported: Callable[..., ReportedState]
    ) -> None:
        for device, hardware in (("a", "rpi5"), ("b", "rpi4"), ("c", "rpi4"), ("pending", "x86")):
            fleet.devices.put_report(device, reported(facts=facts(hardware)), 1)
        admit(fleet, "a", "b", "c")
        assert fleet.members.profiles() == ["eu/rpi4/lte", "eu/rpi5/lte"]
