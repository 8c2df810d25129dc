"""Alerts, wherever an operator looks."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.controller.store.contract.alerts import alert
from tests.service import running_service

from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.rollouts import RolloutSpec, WaveRecord
from edgefleet_controller.clock import now_ms
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.service import Service
from edgefleet_operator.cli import doctor
from edgefleet_operator.client import Client

DO = "to go back: `edgefleet rollout rollback`"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """One whose conductor does not look at alerts that no evidence is behind."""
    with running_service(tmp_path / "state", tick_s=60) as running:
        yield running


@pytest.fixture
def rollout(service) -> str:
    """A rollout that has just completed."""
    now = now_ms()
    wave = WaveRecord(number=1, state="passed", since_ms=now)
    spec = RolloutSpec(model="fashion", version=1, everyone=True)
    record = RolloutRecord(
        id="0a", spec=spec, state="completed", waves=(wave,), created_ms=now, changed_ms=1_800_000_000_000
    )
    service.store.fleet.rollouts.put(record)
    return record.id


@pytest.fixture
def raised(service, rollout: str) -> AlertRecord:
    """An open alert of that rollout, beside an ended one of another."""
    open_ = alert(f"worse_after_rollout:{rollout}:accuracy:p", text="33.0% against 90.0%", do=DO)
    ended = alert("worse_after_rollout:00:errors:p", text="2 of 9", ended_ms=3, ended_because="the finding is gone")
    service.store.fleet.alerts.put(open_, ended)
    return open_


def test_open_alerts_are_listed_with_what_to_do_and_ended_ones_on_demand(operator, raised: AlertRecord) -> None:
    shown = " ".join(operator.types("alert", "list", columns=300).stdout.split())
    assert "33.0% against 90.0%" in shown and DO in shown and "2 of 9" not in shown
    assert operator.reads("alert", "list") == [raised.model_dump()]
    everything = operator.types("alert", "list", "--all", columns=300).stdout
    assert "the finding is gone" in everything
    assert [a["ended_ms"] for a in operator.reads("alert", "list", "--all")] == [3, None]
    assert len(operator.reads("alert", "list", "--all", "--limit", "1")) == 1


def test_without_alerts_that_is_said(operator) -> None:
    assert "no open alerts" in operator.types("alert", "list").stdout
    assert "no alerts" in operator.types("alert", "list", "--all").stdout


def test_the_client_lists_them_by_state(operator, raised: AlertRecord) -> None:
    with Client(operator.url) as client:
        assert list(client.alerts.all("open")) == [raised]
        assert [a.state for a in client.alerts.all()] == ["ended", "open"]
        assert 'edgefleet_alerts{kind="worse_after_rollout"} 1.0' in client.metrics()


def test_the_doctor_finds_the_fleet_unwell_and_says_what_to_do(connected, operator, raised: AlertRecord) -> None:
    found = {c["name"]: c for c in operator.reads("doctor", code=1)}["alerts"]
    assert (found["ok"], found["found"], found["do"]) == (False, raised.text, DO)


def test_the_doctor_finds_no_fault_in_a_controller_that_knows_no_alerts() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        problem = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Not Found"}
        return httpx.Response(404, json=problem)

    with Client("http://controller", transport=httpx.MockTransport(answer)) as client:
        found = doctor._alerts(client)
    assert (found.ok, found.found) == (True, "this controller is older, and raises none")


def test_a_rollout_shows_its_alerts_and_until_when_it_is_watched(operator, rollout: str, raised: AlertRecord) -> None:
    told = operator.reads("rollout", "show", rollout)
    assert told["alerts"] == [raised.model_dump()]
    assert told["watched_until_ms"] == 1_800_000_000_000 + 24 * 3_600_000
    shown = " ".join(operator.types("rollout", "show", rollout, columns=300).stdout.split())
    assert "watched until 2027-01-16 08:00:00Z" in shown
    assert f"33.0% against 90.0%: {DO}" in shown


def test_how_long_is_a_setting_of_the_gate(operator, join, published: str) -> None:
    join("a")
    words = ("rollout", "start", published, "--all", "--gate")
    assert operator.reads(*words, "watch_h=0.5")["spec"]["gate"]["watch_h"] == 0.5
    for wrong in ("watch_h=-1", "watch_h=169", "watch_h=soon"):
        assert "watch_h" in operator.types(*words, wrong, code=2).stderr
