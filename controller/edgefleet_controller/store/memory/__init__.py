"""The store in dictionaries, for tests and simulation; it does not outlive the process."""

from edgefleet_controller.store.contract import Store
from edgefleet_controller.store.fair_lock import Turns
from edgefleet_controller.store.memory.fleet import MemoryFleet
from edgefleet_controller.store.memory.telemetry import MemoryTelemetry

__all__ = ["new_store"]


def new_store() -> Store:
    """An empty store."""
    turns = Turns()
    return Store(MemoryFleet(turns), MemoryTelemetry(turns))
