"""What every class of the contract tests begins with: a store of the kind that a subclass makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefleet_controller.store import FleetStore, Store, TelemetryStore


class StoreContract:
    """A subclass says which kind of store it is about."""

    def make_store(self, folder: Path) -> Store:
        """A new store; what it keeps on disk is in this folder."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        made = self.make_store(tmp_path)
        yield made
        made.close()

    @pytest.fixture
    def fleet(self, store: Store) -> FleetStore:
        return store.fleet

    @pytest.fixture
    def telemetry(self, store: Store) -> TelemetryStore:
        return store.telemetry
