"""Dictionaries keep the contract too."""

from pathlib import Path

from tests.controller.store.contract.fleet import FleetStoreContract
from tests.controller.store.contract.telemetry import TelemetryStoreContract

from edgefleet_controller.store import Store
from edgefleet_controller.store.memory import new_store


class TestMemoryFleet(FleetStoreContract):
    def make_store(self, folder: Path) -> Store:
        return new_store()


class TestMemoryTelemetry(TelemetryStoreContract):
    def make_store(self, folder: Path) -> Store:
        return new_store()


def test_nothing_outlives_the_store() -> None:
    new_store().fleet.audit.note(1, "rollout running", "a")
    assert new_store().fleet.audit.of("a") == []
