"""Counts for Prometheus: by kinds of things, never by device."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.controller.store.making import window

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_controller.api.health import health
from edgefleet_controller.api.metrics import metrics
from edgefleet_controller.fleet.counts import ALL, MESSAGE_KINDS, NOT_TAKEN
from edgefleet_controller.service import Service
from edgefleet_controller.settings import ControllerSettings
from edgefleet_protocol.messages import Attempt, ReportedModel, Slot

VARIANT = "a" * 64


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(ControllerSettings(state=tmp_path / "state"))
    running.start()
    yield running
    running.stop()


def samples(service: Service) -> dict[str, dict[tuple[str, ...], float]]:
    """By the name of the sample and the values of its labels, in the order of the labels' names."""
    read: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(bytes(metrics(service).body).decode()):
        for sample in family.samples:
            read.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return read


def test_devices_are_counted_by_what_they_are_and_by_what_answers(service: Service, reported) -> None:
    slot = Slot(variant=VARIANT, manifest="b" * 64, model_version=1, generation=2)
    model = ReportedModel(generation=2, answering=slot, attempt=Attempt(generation=2, phase="committed"))
    for device in ("one", "two", "stranger"):
        service.store.fleet.devices.put_report(device, reported(models={"fashion": model}), 1)
    for device in ("one", "two"):
        service.store.fleet.devices.admit(AdmissionRecord(device=device, accepted_ms=1))
    service.store.fleet.devices.put_report("new", reported(models={"fashion": ReportedModel()}), 1)
    service.store.fleet.devices.admit(AdmissionRecord(device="new", accepted_ms=1))
    read = samples(service)
    assert read["edgefleet_devices"] == {
        ("rpi4", "lte", "true", "eu", "accepted"): 3,
        ("rpi4", "lte", "true", "eu", "pending"): 1,
    }
    assert read["edgefleet_device_models"] == {
        ("rpi4", "fashion", "committed", VARIANT, "1"): 2,
        ("rpi4", "fashion", "", "", ""): 1,
    }
    assert not any("one" in values for family in read.values() for values in family)


def test_traffic_is_counted(service: Service) -> None:
    service.ingest.counts.update({name: number for number, name in enumerate(ALL, start=1)})
    read = samples(service)
    told = {name: number for number, name in enumerate(ALL, start=1)}
    assert read["edgefleet_messages_total"] == {(kind,): told[kind] for kind in MESSAGE_KINDS}
    assert read["edgefleet_messages_not_taken_total"] == {(why,): told[why] for why in NOT_TAKEN}
    assert read["edgefleet_windows_ingested_total"] == {(): told["windows"]}
    for name in ("windows_repeated", "windows_set_aside", "newer_phases"):
        assert read[f"edgefleet_{name}_total"] == {(): told[name]}
    assert health(service).messages == told


def test_windows_lost_are_those_of_the_fleet_so_that_they_may_fall(service: Service) -> None:
    windows = service.store.telemetry.windows
    for device, first in (("a", 4), ("b", 2)):
        windows.put([window(1, device=device)])
        windows.put([window(first + 2, device=device, first_kept_seq=first + 2)])
    page = bytes(metrics(service).body).decode()
    assert "# TYPE edgefleet_windows_lost gauge\nedgefleet_windows_lost 6.0" in page
    windows.remove("a")
    assert samples(service)["edgefleet_windows_lost"] == {(): 2}


def test_every_metric_says_what_it_counts(service: Service) -> None:
    page = bytes(metrics(service).body).decode()
    families = list(text_string_to_metric_families(page))
    assert len(families) > 12
    assert all(family.documentation.endswith(".") and family.name.startswith("edgefleet_") for family in families)


def test_rollouts_are_counted_by_state(service: Service, rollout) -> None:
    service.store.fleet.rollouts.put(rollout("staging"))
    service.store.fleet.rollouts.put(rollout("passed").model_copy(update={"id": "02", "state": "completed"}))
    assert samples(service)["edgefleet_rollouts"] == {("completed",): 1, ("running",): 1}
