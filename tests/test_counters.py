"""Every counter from the device to the page: each field has another value, so that swapping any two shows."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from tests.controller.asking import aggregated
from tests.controller.asking import evidence as evidence_of
from tests.service import MARKED, api_of

from edgefleet_agent.policy import permitted
from edgefleet_agent.recent import Key
from edgefleet_agent.spool import Spool
from edgefleet_agent.telemetry import Recorder
from edgefleet_agent.worker_handle import AnswerCount
from edgefleet_contract.devices import AdmissionRecord
from edgefleet_controller.api.app import create_app
from edgefleet_controller.records import Evidence
from edgefleet_controller.service import Service
from edgefleet_controller.settings import ControllerSettings
from edgefleet_controller.store.contract.aggregates import FOREVER_MS
from edgefleet_controller.store.contract.evidence import Compared, Switched
from edgefleet_profiles.parts import DataKind
from edgefleet_protocol import topics
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import Facts, ReportedState, TelemetryWindow, encode
from edgefleet_protocol.moments import Moments

INCARNATION = "1" * 32
FACTS = Facts(hardware="rpi4", region="jp", link="lte", arch="aarch64", cores=4, ram_mb=4096)
REPORT = ReportedState(incarnation=INCARNATION, boot=1, report=1, agent_version="0", facts=FACTS)
KEY = Key("fashion", 23, "a" * 64, 19)
NAMES = ("coat", "shirt")
ERRORS, NOT_FINITE = 5, 7
SECONDS = [0.001] * 24 + [0.02] * 4 + [0.3]  # p50, p95 and p99 apart
LABELS = 17
RIGHT = 11
REFUSED = 3


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Not started but for what takes messages: nothing here needs a broker."""
    opened = Service(ControllerSettings(state=tmp_path / "state", broker_url="mqtt://127.0.0.1:9"))
    opened.store.fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=1))
    opened.store.fleet.devices.put_report("d", REPORT, 1)
    opened.ingest.start()
    yield opened
    opened.ingest.stop()
    opened.store.close()
    opened._lock.close()


@pytest.fixture
def api(service: Service) -> Iterator[httpx.Client]:
    app = create_app()
    app.state.service = service
    with api_of(app) as address, httpx.Client(base_url=f"{address}/api/v1", headers=MARKED, timeout=60) as client:
        yield client


def recorded() -> TelemetryWindow:
    """13 coats and 16 shirts in 29 answers, 12 requests without one, 11 of 17 labels right, 3 refused."""
    clock = iter([0.0, 31.0])
    recorder = Recorder(lambda: next(clock), lambda: int(time.time() * 1000))
    for number, seconds in enumerate(SECONDS):
        recorder.answered(KEY, str(number), seconds, AnswerCount((NAMES[number >= 13],), b"reduced"), "scorer")
    for number in range(ERRORS + NOT_FINITE):
        recorder.failed(KEY, not_finite=number >= ERRORS)
    for number in range(LABELS):
        answer = recorder.find(KEY.model, str(number))
        assert answer and recorder.scored(answer, str(number), [float(number < RIGHT)])
    for _ in range(REFUSED):
        answer = recorder.find(KEY.model, str(LABELS))
        assert answer
        recorder.refused(answer, 1)
    (window,) = recorder.close()
    return window.model_copy(update={"clock_trusted": True})


def sent(window: TelemetryWindow, folder: Path) -> TelemetryWindow:
    """The window as it leaves the device's spool."""
    left = permitted(window, {"counts", "aggregates", "labels"})
    assert left is not None
    spool = Spool(folder, INCARNATION, get_args(DataKind))
    spool.add(left)
    (due,) = spool.due(0)
    spool.close()
    return due


def stored(service: Service, window: TelemetryWindow) -> dict[str, Any]:
    """The window's row, once it was taken."""
    service.ingest.offer(topics.up("d", "telemetry"), encode(window))
    until = time.monotonic() + 30
    while not service.store.telemetry.windows.count("d"):
        assert time.monotonic() < until, "it was not stored in time"
        time.sleep(0.01)
    with closing(sqlite3.connect(service.settings.state / "telemetry.db")) as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM windows").fetchone())


def latency() -> LatencyHistogram:
    histogram = LatencyHistogram()
    for seconds in SECONDS:
        histogram.record(seconds)
    return histogram


def test_what_a_device_counted_is_what_the_page_shows(service: Service, api: httpx.Client, tmp_path: Path) -> None:
    window = sent(recorded(), tmp_path)
    row = stored(service, window)
    histogram = latency()
    assert {name: row[name] for name in row if name not in ("received_ms", "started_ms", "at_ms")} == {
        **{"device": "d", "incarnation": INCARNATION, "seq": 1, "model": "fashion", "model_version": 23},
        **{"variant": "a" * 64, "generation": 19, "duration_ms": 31_000, "rolled": 0},
        **{"region": "jp", "hardware": "rpi4", "link": "lte"},
        **{"requests": 41, "errors": 5, "not_finite": 7, "refused_labels": 3, "latency": histogram.encode()},
        "moments": '{"scored":{"n":17,"sum":11000000,"sum2":11000000}}',
        "categories": '{"coat":13,"shirt":16}',
    }
    assert row["started_ms"] == row["at_ms"] == window.started_ms
    assert 0 <= row["received_ms"] - row["started_ms"] - 31_000 < 30_000
    shown = {
        **{"group": {"variant": "a" * 64}, "bucket_ms": None, "windows": 1},
        **{"requests": 41, "errors": 5, "not_finite": 7},
        **{f"p{percent}_ms": histogram.percentile_ms(percent) for percent in (50, 95, 99)},
        **{"labelled": 17, "correct": 11, "predicted": {"coat": 13, "shirt": 16}},
        # Nobody knows what this model does, and so what its scores are.
        **{"measure": {"name": "score", "unit": "share", "better": "higher", "scored": True}},
        **{"score": 11 / 17, "accuracy": None, "unchecked_labels": 0, "refused_labels": 3},
    }
    assert api.get("/telemetry").json()["items"] == [shown]
    assert service.store.telemetry.rollups.roll_up(FOREVER_MS, 10) == 1
    assert service.store.telemetry.rollups.forget_windows(FOREVER_MS, 0, 10) == 1
    assert api.get("/telemetry").json()["items"] == [shown]


SCORED = Moments.of(0.25, 0.5, 1.0)


@pytest.mark.parametrize("rolled", [False, True])
def test_scores_between_right_and_wrong_arrive_as_they_are(service: Service, tmp_path: Path, rolled: bool) -> None:
    counters = recorded().counters
    counters.scored = SCORED
    assert len({SCORED.n, SCORED.sum, SCORED.sum2}) == 3
    stored(service, sent(recorded().with_counters(counters), tmp_path))
    if rolled:
        service.store.telemetry.rollups.roll_up(FOREVER_MS, 10)
        service.store.telemetry.rollups.forget_windows(FOREVER_MS, 0, 10)
    (merged,) = aggregated(service.store.telemetry, ())
    assert merged.counters == counters
    assert merged.counters.serving.latency == latency()


@pytest.mark.parametrize("rolled", [False, True])
def test_the_gate_is_shown_what_a_device_counted(service: Service, tmp_path: Path, rolled: bool) -> None:
    counters = recorded().counters
    counters.scored = SCORED
    stored(service, sent(recorded().with_counters(counters), tmp_path))
    if rolled:
        service.store.telemetry.rollups.roll_up(FOREVER_MS, 10)

    def evidence(new: str, before: str, *switched: str) -> Evidence:
        given = {device: Switched(INCARNATION, KEY.generation, committed=True) for device in switched}
        compared = {"jp/rpi4/lte": Compared(new, frozenset({before}), given, {} if switched else {"d": INCARNATION})}
        (found,) = evidence_of(service.store.telemetry, "fashion", compared, 0)
        return found

    counters.categories = {}  # no test asks for them
    a, b = "a" * 64, "b" * 64
    assert evidence(a, b, "d") == Evidence("jp/rpi4/lte", {"d": counters}, {}, {})
    assert evidence(b, a) == Evidence("jp/rpi4/lte", {}, {"d": SCORED}, {"d": counters})
