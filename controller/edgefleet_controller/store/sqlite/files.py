"""Opens one file of the store, or says which it is and what to do about it."""

from pathlib import Path
from typing import Literal

from sqlite_utils.migrations import Migrations

from edgefleet_controller.errors import NewerStore, StateUnusable, StoreFault
from edgefleet_controller.store.fair_lock import FairLock
from edgefleet_controller.store.sqlite.database import Database

RESTORE = "restore the backup of the state folder"


def opened_file(path: Path, synchronous: Literal["FULL", "NORMAL"], migrations: Migrations, lock: FairLock) -> Database:
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
