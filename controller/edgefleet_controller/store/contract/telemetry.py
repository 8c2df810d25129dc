"""The telemetry store: what devices measured."""

from contextlib import AbstractContextManager
from typing import Protocol

from edgefleet_controller.store.contract.aggregates import Aggregates
from edgefleet_controller.store.contract.evidence import EvidenceSource
from edgefleet_controller.store.contract.rollups import Rollups
from edgefleet_controller.store.contract.windows import Windows


class TelemetryStore(Protocol):
    """Telemetry; a power cut may lose the last of it, as devices send it again until it is acknowledged.

    Every method MUST be a transaction of its own, and wait as those of `FleetStore` do; `aggregates.answer` and
    `evidence` read a snapshot of committed data without waiting.

    Raises:
        StoreUnavailable: in any method, and nothing is changed; see `FleetStore`.
        StoreFault: a damaged file or a bug, or a call within a transaction of the fleet's store.
    """

    windows: Windows
    rollups: Rollups
    aggregates: Aggregates
    evidence: EvidenceSource

    def transaction(self) -> AbstractContextManager[None]:
        """All changes made inside, or none of them, as in `FleetStore.transaction`.

        Inside, the fleet's store may be read, but MUST NOT be changed.
        """

    def close(self) -> None:
        """Close the store; it must not be used after that."""
