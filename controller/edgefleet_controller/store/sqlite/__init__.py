"""The store in two SQLite files in WAL mode; the only home of SQL."""

from contextlib import ExitStack
from pathlib import Path

from edgefleet_controller.errors import StateUnusable, StoreUnavailable
from edgefleet_controller.store.contract import Store
from edgefleet_controller.store.fair_lock import Turns
from edgefleet_controller.store.sqlite.files import opened_file
from edgefleet_controller.store.sqlite.fleet import SqliteFleet
from edgefleet_controller.store.sqlite.fleet_migrations import FLEET
from edgefleet_controller.store.sqlite.telemetry import SqliteTelemetry
from edgefleet_controller.store.sqlite.telemetry_migrations import TELEMETRY

__all__ = ["open_store"]


def open_store(folder: Path) -> Store:
    """Open the store of a state folder, and migrate its files to the current schema.

    Raises:
        StateUnusable: the disk is full or not writable, another program holds the store, or a file of it is damaged or
            of a newer version.
    """
    folder.mkdir(parents=True, exist_ok=True)
    turns = Turns()
    try:
        with ExitStack() as opened:
            # FULL: a decision that a device was told of must survive a power cut. NORMAL: devices send telemetry again.
            fleet = opened_file(folder / "fleet.db", "FULL", FLEET, turns.fleet)
            opened.callback(fleet.close)
            telemetry = opened_file(folder / "telemetry.db", "NORMAL", TELEMETRY, turns.telemetry)
            opened.callback(telemetry.close)
            store = Store(SqliteFleet(fleet, turns), SqliteTelemetry(telemetry))
            opened.pop_all()
    except StoreUnavailable as why:
        raise StateUnusable(f"{folder} cannot be opened: {why}, then start again") from None
    return store
