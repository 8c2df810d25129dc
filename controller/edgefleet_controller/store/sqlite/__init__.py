"""The store in two SQLite files in WAL mode; no SQL stands anywhere else."""

from contextlib import ExitStack
from pathlib import Path

from edgefleet_controller.errors import StateUnusable, StoreUnavailable
from edgefleet_controller.store.contract import Store
from edgefleet_controller.store.fair_lock import Turns
from edgefleet_controller.store.sqlite.database import Database
from edgefleet_controller.store.sqlite.fleet import SqliteFleet
from edgefleet_controller.store.sqlite.migrations import FLEET, TELEMETRY
from edgefleet_controller.store.sqlite.telemetry import SqliteTelemetry

__all__ = ["open_store"]


def open_store(folder: Path) -> Store:
    """Open the store of a state folder, and bring its files to this version's schema.

    Raises:
        StateUnusable: the disk, or another program, does not let it be opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    turns = Turns()
    try:
        with ExitStack() as opened:
            # FULL: a decision that was told to a device must survive power loss. NORMAL: devices send telemetry again.
            fleet = Database(folder / "fleet.db", "FULL", FLEET, turns.fleet)
            opened.callback(fleet.close)
            telemetry = Database(folder / "telemetry.db", "NORMAL", TELEMETRY, turns.telemetry)
            opened.callback(telemetry.close)
            store = Store(SqliteFleet(fleet, turns), SqliteTelemetry(telemetry))
            opened.pop_all()
    except StoreUnavailable as why:
        raise StateUnusable(f"{folder} cannot be opened: {why}, then start again") from None
    return store
