"""The two stores side by side."""

from dataclasses import dataclass

from edgefleet_controller.store.contract.fleet import FleetStore
from edgefleet_controller.store.contract.telemetry import TelemetryStore


@dataclass(frozen=True)
class Store:
    """Everything that a controller knows; safe to use from any thread.

    No transaction spans both. The telemetry store MUST raise `StoreFault` when it is asked within a transaction of the
    fleet's that the same thread has begun, and so must a transaction of the fleet's that begins within one of
    telemetry's: a decision about the fleet is committed first, and telemetry follows it (see `FollowUps`).
    """

    fleet: FleetStore
    telemetry: TelemetryStore

    def close(self) -> None:
        """Close both."""
        self.fleet.close()
        self.telemetry.close()
