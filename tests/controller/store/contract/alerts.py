"""Alerts: kept until they are over, and for a while after that."""

from typing import Any

from edgefleet_contract.alerts import AlertRecord
from edgefleet_controller.store import FleetStore


def alert(id_: str = "k:01:accuracy:p", **fields: Any) -> AlertRecord:
    """An open alert; its rollout is in its id."""
    kind, rollout, check, profile = id_.split(":")
    given = {"id": id_, "kind": kind, "rollout": rollout, "check": check, "profile": profile}
    return AlertRecord.model_validate({**given, "text": "worse", "do": "look", "first_ms": 1, "last_ms": 2, **fields})


class AlertsContract:
    """What every kind of store must do with alerts."""

    def test_alerts_are_by_id_and_the_last_put_counts(self, fleet: FleetStore) -> None:
        first, second = alert(), alert("k:02:accuracy:p", check=None, profile=None)
        fleet.alerts.put(second, first)
        assert fleet.alerts.all() == [first, second]
        again = alert(text="much worse", last_ms=9)
        fleet.alerts.put(again)
        assert fleet.alerts.all() == [again, second]
        fleet.alerts.put()

    def test_they_are_found_by_state_and_by_rollout(self, fleet: FleetStore) -> None:
        open_, ended = alert(), alert("k:01:errors:p", ended_ms=5, ended_because="gone")
        other, of_none = alert("k:02:errors:p"), alert("z:::", rollout=None)
        fleet.alerts.put(open_, ended, other, of_none)
        assert fleet.alerts.all(state="open") == [open_, other, of_none]
        assert fleet.alerts.all(state="ended") == [ended]
        assert fleet.alerts.all(rollout="01") == [open_, ended]
        assert fleet.alerts.all(rollout="01", state="open") == [open_]
        assert fleet.alerts.all(rollout="none") == []

    def test_ended_ones_are_forgotten_and_open_ones_never(self, fleet: FleetStore) -> None:
        open_, old, young = alert(), alert("k:02:a:p", ended_ms=5), alert("k:03:a:p", ended_ms=6)
        fleet.alerts.put(open_, old, young)
        assert fleet.alerts.forget(6) == 1
        assert fleet.alerts.all() == [open_, young]
        assert fleet.alerts.forget(6) == 0
