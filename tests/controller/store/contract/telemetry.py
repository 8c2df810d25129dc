"""The contract of the telemetry store: every kind passes all of it."""

from tests.controller.store.contract.base import StoreContract
from tests.controller.store.contract.evidence import EvidenceContract
from tests.controller.store.contract.rollups import RollupsContract
from tests.controller.store.contract.windows import WindowsContract


class TelemetryStoreContract(WindowsContract, RollupsContract, EvidenceContract, StoreContract):
    """The MUSTs of `TelemetryStore` and its nouns."""
