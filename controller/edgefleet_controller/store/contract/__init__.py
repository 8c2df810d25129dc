"""The contract of every store: Protocols, and the values that they take and return."""

from edgefleet_controller.store.contract.fleet import FleetStore
from edgefleet_controller.store.contract.store import Store
from edgefleet_controller.store.contract.telemetry import TelemetryStore

__all__ = ["FleetStore", "Store", "TelemetryStore"]
