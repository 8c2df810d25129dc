"""The two stores side by side."""

from dataclasses import dataclass

from edgefleet_controller.store.contract.fleet import FleetStore
from edgefleet_controller.store.contract.telemetry import TelemetryStore


@dataclass(frozen=True)
class Store:
    """Everything that a controller knows; safe to use from any thread.

    No transaction spans both stores. Within a transaction of the fleet's store, the telemetry store MUST raise
    `StoreFault` when the same thread uses it; within one of telemetry's, a transaction of the fleet's store MUST raise
    it. Decisions about the fleet are committed first, and telemetry follows (see `FollowUps`).
    """

    fleet: FleetStore
    telemetry: TelemetryStore

    def close(self) -> None:
        """Close both."""
        self.fleet.close()
        self.telemetry.close()
