"""The telemetry store: what devices measured."""

from contextlib import AbstractContextManager
from typing import Protocol

from edgefleet_controller.store.contract.aggregates import Aggregates
from edgefleet_controller.store.contract.evidence import EvidenceSource
from edgefleet_controller.store.contract.rollups import Rollups
from edgefleet_controller.store.contract.windows import Windows


class TelemetryStore(Protocol):
    """What devices send again until it is acknowledged: a power cut may take the last of it.

    Every method MUST, alone, be a transaction, and take its turn as those of `FleetStore` do; `aggregates.answer` and
    `evidence` read what is committed, as it stands at one moment, and wait for nobody.

    Raises:
        StoreUnavailable: in any method, and nothing of what it was to change is kept; see `FleetStore`.
        StoreFault: a damaged file or a fault of ours; or it was asked within a transaction of the fleet's store.
    """

    windows: Windows
    rollups: Rollups
    aggregates: Aggregates
    evidence: EvidenceSource

    def transaction(self) -> AbstractContextManager[None]:
        """All that is changed within, or nothing of it; as `FleetStore.transaction`.

        The fleet's store may be read within, and MUST NOT be changed.
        """

    def close(self) -> None:
        """Let go of the store; nothing may be asked of it after that."""
