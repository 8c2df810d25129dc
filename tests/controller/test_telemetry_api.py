"""Telemetry by REST: kept apart by what one asks for, over time, in pages."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.cards import card
from tests.service import MARKED, api_of

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.api.app import create_app
from edgefleet_controller.records import ModelRecord
from edgefleet_controller.service import Service
from edgefleet_controller.settings import ControllerSettings
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import Facts, TelemetryWindow

T0 = 20_000 * 24 * HOUR_MS
DEVICES = {"a": ("eu", "rpi4", "lte"), "b": ("eu", "rpi5", "ethernet"), "c": ("na", "rpi5", "ethernet")}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Not started: nothing here needs a broker."""
    opened = Service(ControllerSettings(state=tmp_path / "state", broker_url="mqtt://127.0.0.1:9"))
    yield opened
    opened.store.close()
    opened._lock.close()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[FastAPI, httpx.Client]]:
    """One server for all tests here; each gives it a service of its own."""
    app = create_app()
    with api_of(app) as address, httpx.Client(base_url=f"{address}/api/v1", headers=MARKED, timeout=60) as client:
        yield app, client


@pytest.fixture
def api(server: tuple[FastAPI, httpx.Client], service: Service) -> httpx.Client:
    app, client = server
    app.state.service = service
    return client


@pytest.fixture(autouse=True)
def fleet(service: Service, reported) -> None:
    """Three devices, each with one window of 10 requests in each of three hours; device c is of the lab."""
    for number, (device, (region, hardware, link)) in enumerate(DEVICES.items(), start=1):
        facts = Facts(hardware=hardware, region=region, link=link, arch="aarch64", cores=4, ram_mb=4096)
        labels = {"site": "lab"} if device == "c" else {}
        service.store.fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=1))
        service.store.fleet.devices.put_report(device, reported(facts=facts, labels=labels), 1)
        latency = LatencyHistogram()
        for _ in range(10):
            latency.record(number / 100)
        for hour in range(3):
            told = TelemetryWindow(
                incarnation="0" * 32,
                seq=hour + 1,
                first_kept_seq=1,
                model="fashion",
                model_version=1 + (hour == 2),
                variant="a" * 64,
                generation=1,
                duration_ms=60_000,
                requests=10,
                latency=latency.encode(),
                labelled=2,
                correct=number % 2,
            )
            service.store.telemetry.windows.put([StoredWindow(device, told, facts, T0 + hour * HOUR_MS + 5)])
    for version in (1, 2):
        model = ModelRecord(name="fashion", version=version, files={}, card=card(), created_ms=1)
        service.store.fleet.registry.put_model(model)
    for name, selector in (("europe", "region=eu"), ("metered", "metered"), ("all", "")):
        service.store.fleet.segments.put(SegmentRecord(name=name, selector=selector))


def requests_by(answer: httpx.Response, column: str) -> dict[object, int]:
    answer.raise_for_status()
    return {item["group"][column]: item["requests"] for item in answer.json()["items"]}


@pytest.fixture(params=["windows", "rolled up", "deleted"])
def kept(request: pytest.FixtureRequest, service: Service) -> str:
    """Windows as they came; all in roll-ups; all deleted after that."""
    if request.param != "windows":
        service.store.telemetry.rollups.roll_up(T0 + 9 * HOUR_MS, 1000)
    if request.param == "deleted":
        service.store.telemetry.rollups.forget_windows(T0 + 9 * HOUR_MS, 0, 1000)
    return str(request.param)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("column", "found"),
    [
        ("variant", {"a" * 64: 90}),
        ("model", {"fashion": 90}),
        ("model_version", {1: 60, 2: 30}),
        ("hardware", {"rpi4": 30, "rpi5": 60}),
        ("region", {"eu": 60, "na": 30}),
        ("link", {"lte": 30, "ethernet": 60}),
        ("segment", {"all": 90, "europe": 60, "metered": 30}),
    ],
)
def test_requests_are_kept_apart_by_what_is_asked_for(api: httpx.Client, column: str, found: dict) -> None:
    assert requests_by(api.get("/telemetry", params={"group_by": column}), column) == found


@pytest.mark.usefixtures("kept")
def test_percentiles_are_of_the_merged_histogram(api: httpx.Client) -> None:
    (item,) = api.get("/telemetry", params={"selector": "region=eu"}).json()["items"]
    assert item["p50_ms"] == pytest.approx(10, rel=0.02)
    assert item["p95_ms"] == pytest.approx(20, rel=0.02)
    assert item["accuracy"] == 0.25


@pytest.mark.usefixtures("kept")
def test_hours_and_days_are_kept_apart(api: httpx.Client) -> None:
    hours = api.get("/telemetry", params={"bucket": "hour"}).json()["items"]
    assert [(i["bucket_ms"], i["requests"]) for i in hours] == [(T0 + h * HOUR_MS, 30) for h in range(3)]
    days = api.get("/telemetry", params={"bucket": "day", "group_by": "model"}).json()["items"]
    assert [(i["bucket_ms"], i["requests"]) for i in days] == [(T0, 90)]
    whole = api.get("/telemetry").json()["items"]
    assert [i["bucket_ms"] for i in whole] == [None]


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("asked", "requests"),
    [
        ({"since_ms": T0 + HOUR_MS}, 60),
        ({"until_ms": T0 + HOUR_MS}, 30),
        ({"since_ms": T0 + HOUR_MS, "until_ms": T0 + 2 * HOUR_MS}, 30),
        ({"model": "fashion@2"}, 30),
        ({"model": "fashion"}, 90),
        ({"model": "other"}, None),
        ({"selector": "hardware=rpi5,!metered"}, 60),
        ({"selector": "metered"}, 30),
        ({"selector": "region notin (eu,na)"}, None),
    ],
)
def test_telemetry_is_filtered(api: httpx.Client, asked: dict, requests: int | None) -> None:
    found = api.get("/telemetry", params={**asked, "group_by": "model"}).json()["items"]
    assert [item["requests"] for item in found] == ([requests] if requests else [])


def test_questions_about_devices_are_answered_from_windows_and_say_so(
    api: httpx.Client, service: Service, kept: str
) -> None:
    there = kept != "deleted"
    answer = api.get("/telemetry", params={"group_by": "device"})
    assert requests_by(answer, "device") == ({"a": 30, "b": 30, "c": 30} if there else {})
    assert answer.json()["reads"] == "windows"
    for asked in ({"device": "c"}, {"selector": "site=lab"}):
        answer = api.get("/telemetry", params={**asked, "group_by": "region"})
        assert requests_by(answer, "region") == ({"na": 30} if there else {})
        assert answer.json()["reads"] == "windows"
    answer = api.get("/telemetry").json()
    assert answer["reads"] == "windows and roll-ups"
    assert answer["windows_from_ms"] == (0 if there else T0 + 9 * HOUR_MS)


def test_a_segment_by_a_devices_own_label_counts_the_devices_that_have_it_now(
    api: httpx.Client, service: Service
) -> None:
    service.store.fleet.segments.put(SegmentRecord(name="lab", selector="site=lab"))
    answer = api.get("/telemetry", params={"group_by": "segment"})
    assert requests_by(answer, "segment") == {"all": 90, "europe": 60, "lab": 30, "metered": 30}
    assert answer.json()["reads"] == "windows"


def test_telemetry_comes_in_pages(api: httpx.Client) -> None:
    asked = {"group_by": ["region", "device"], "bucket": "hour", "limit": 4}
    found, cursor = [], None
    while True:
        answer = api.get("/telemetry", params={**asked, **({"cursor": cursor} if cursor else {})}).json()
        found += [(i["bucket_ms"], i["group"]["device"]) for i in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            break
    assert found == [(T0 + hour * HOUR_MS, device) for hour in range(3) for device in "abc"]


def test_many_classes_are_shown_by_name_up_to_a_bound_and_none_is_left_out(api: httpx.Client, service: Service) -> None:
    """Also when each window has other names, as of devices that make them up."""
    for seq in range(1, 4):
        told = {f"{seq}-{number}": seq for number in range(1_000)}
        given = {"incarnation": "9" * 32, "first_kept_seq": 1, "model": "fashion", "model_version": 1}
        window = TelemetryWindow(
            **given, seq=seq, variant="e" * 64, generation=1, duration_ms=1, requests=1, predicted=told
        )
        service.store.telemetry.windows.put([StoredWindow("a", window, None, T0)])
    for _ in range(2):
        shown = next(i for i in api.get("/telemetry").json()["items"] if i["group"] == {"variant": "e" * 64})
        assert len(shown["predicted"]) == 1_001
        assert sum(shown["predicted"].values()) == 6_000
        assert shown["predicted"]["(others)"] == 3_000
        service.store.telemetry.rollups.roll_up(T0 + 9 * HOUR_MS, 1000)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_page_over_time_goes_on_after_a_time_without_telemetry(
    api: httpx.Client, service: Service, limit: int
) -> None:
    later = T0 + 40 * 24 * HOUR_MS
    told = TelemetryWindow(
        incarnation="0" * 32,
        seq=9,
        first_kept_seq=9,
        model="fashion",
        model_version=1,
        variant="a" * 64,
        generation=1,
        duration_ms=1,
        requests=7,
    )
    service.store.telemetry.windows.put([StoredWindow("a", told, None, later)])
    for bucket, expected in (
        ("hour", [*((T0 + hour * HOUR_MS, 30) for hour in range(3)), (later, 7)]),
        ("day", [(T0, 90), (later, 7)]),
    ):
        found, cursor = [], None
        while True:
            asked = {"bucket": bucket, "limit": limit, **({"cursor": cursor} if cursor else {})}
            answer = api.get("/telemetry", params=asked).json()
            found += [(i["bucket_ms"], i["requests"]) for i in answer["items"]]
            cursor = answer["next"]
            if cursor is None:
                break
        assert found == expected


@pytest.mark.parametrize(
    "asked",
    [
        {"group_by": "incarnation"},
        {"bucket": "minute"},
        {"selector": "region in"},
        {"model": "Fashion!"},
        {"since_ms": -1},
        {"until_ms": 2**63},
    ],
    ids=str,
)
def test_a_question_that_cannot_be_answered_is_a_problem_422(api: httpx.Client, asked: dict) -> None:
    answer = api.get("/telemetry", params=asked)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
