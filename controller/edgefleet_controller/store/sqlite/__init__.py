"""The store in two SQLite files in WAL mode; the only home of SQL."""

from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from sqlite_utils.migrations import Migrations

from edgefleet_controller.errors import NewerStore, StateUnusable, StoreFault, StoreUnavailable
from edgefleet_controller.store.contract import Store
from edgefleet_controller.store.fair_lock import FairLock, Turns
from edgefleet_controller.store.sqlite.database import Database
from edgefleet_controller.store.sqlite.fleet import SqliteFleet
from edgefleet_controller.store.sqlite.migrations import FLEET, TELEMETRY
from edgefleet_controller.store.sqlite.telemetry import SqliteTelemetry

__all__ = ["open_store"]

RESTORE = "restore the backup of the state folder"


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
            fleet = _opened(folder / "fleet.db", "FULL", FLEET, turns.fleet)
            opened.callback(fleet.close)
            telemetry = _opened(folder / "telemetry.db", "NORMAL", TELEMETRY, turns.telemetry)
            opened.callback(telemetry.close)
            store = Store(SqliteFleet(fleet, turns), SqliteTelemetry(telemetry))
            opened.pop_all()
    except StoreUnavailable as why:
        raise StateUnusable(f"{folder} cannot be opened: {why}, then start again") from None
    return store


def _opened(path: Path, synchronous: Literal["FULL", "NORMAL"], migrations: Migrations, lock: FairLock) -> Database:
    """Open one file of the store.

    Raises:
        StateUnusable: it is no file of ours, or damaged, or a newer version wrote it.
        StoreUnavailable: it cannot be opened now.
    """
    if path.exists() and not path.is_file():
        raise StateUnusable(f"{path} is not a file: move it away, or {RESTORE}")
    try:
        return Database(path, synchronous, migrations, lock)
    except StoreFault as error:
        raise StateUnusable(f"{path} cannot be read, it is damaged or no store's ({error}): {RESTORE}") from error
    except NewerStore as error:
        raise StateUnusable(f"{path} {error}: install the newer version, or {RESTORE}") from None
