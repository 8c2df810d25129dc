"""One SQLite file: opened in WAL mode and migrated, with one transaction at a time."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import sqlite_utils
from sqlite_utils.migrations import Migrations

from edgefleet_controller.errors import NewerStore, StoreFault
from edgefleet_controller.store.fair_lock import FairLock
from edgefleet_controller.store.sqlite.translation import translated

TableRow = dict[str, Any]
PATIENCE_S = 1.0
"""How long another program may hold the file before that is an error; all our callers wait that long, too."""
CHECKPOINT_PAGES = 8_000  # 32 MB; SQLite's default of 1,000 is only two batches of telemetry
CACHE_KB = 32 * 1024  # SQLite's default of 2 MB is too small for the last index pages of some thousand devices
ROWS_AT_ONCE = 25


class Into(NamedTuple):
    """Where rows go: `key` identifies a row, and an existing row keeps its `kept` columns."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    kept: tuple[str, ...] = ()


class Database:
    """A connection that threads take turns at.

    One connection behind a lock, rather than one per thread: writers never see SQLITE_BUSY, and our transactions are
    short.

    Args:
        path: the file.
        synchronous: FULL if commits must survive a power cut; NORMAL if the latest ones need not.
        migrations: the migrations that make its schema.
        lock: the lock that threads take turns at.

    Raises:
        StoreError: here and in every method, for any error of SQLite; here also for a file that is not of this schema
            or any older one, which is left as it is.
    """

    def __init__(
        self, path: Path, synchronous: Literal["FULL", "NORMAL"], migrations: Migrations, lock: FairLock
    ) -> None:
        self._path, self._lock = path, lock
        try:
            connection = sqlite3.connect(path, timeout=PATIENCE_S, check_same_thread=False, isolation_level=None)
            self._db = sqlite_utils.Database(connection, execute_plugins=False)
            try:
                self._set_up(synchronous, migrations)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise translated(error) from error

    def _set_up(self, synchronous: str, migrations: Migrations) -> None:
        _check_version(self._db, migrations)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={synchronous}")
        if synchronous == "NORMAL":
            # NORMAL waits for the disk only at checkpoints; with rare ones, pages that change often are written once.
            self._db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            self._db.execute(f"PRAGMA cache_size=-{CACHE_KB}")
        migrations.apply(self._db)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nests."""
        try:
            with self._lock, self._db.atomic():
                yield
        except sqlite3.Error as error:  # from BEGIN or COMMIT; statements in between translate their own
            raise translated(error) from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """Part of the caller's transaction, or else its own; cheaper than a nested one.

        Don't use this if the caller may continue after one of the statements failed.
        """
        with self._lock:
            if self._db.conn.in_transaction:
                yield
            else:
                with self.transaction():
                    yield

    @contextmanager
    def snapshot(self) -> Iterator["Snapshot"]:
        """A snapshot of the file for long reads, over its own connection, so that nothing waits for them."""
        try:
            address = f"{self._path.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("BEGIN")
                yield Snapshot(connection)
        except sqlite3.Error as error:
            raise translated(error) from error

    def committed(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a SELECT over committed data, without waiting for the lock: for counts over whole tables."""
        with self.snapshot() as snapshot:
            return [tuple(row) for row in snapshot.rows(sql, values)]

    def rows(self, sql: str, values: Iterable[Any] = ()) -> list[TableRow]:
        """The rows of a SELECT."""
        try:
            with self._lock:
                cursor = self._db.conn.execute(sql, list(values))
                names = [column for column, *_ in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise translated(error) from error

    def tuples(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a SELECT without column names, for large results."""
        try:
            with self._lock:
                return self._db.conn.execute(sql, list(values)).fetchall()
        except sqlite3.Error as error:
            raise translated(error) from error

    def row(self, sql: str, values: Iterable[Any] = ()) -> TableRow | None:
        """The first row of a SELECT; None if there are no rows."""
        return next(iter(self.rows(sql, values)), None)

    def execute(self, sql: str, values: Iterable[Any] = ()) -> int:
        """Run one statement; returns the number of rows that it changed."""
        try:
            with self._lock:
                return self._db.conn.execute(sql, list(values)).rowcount
        except sqlite3.Error as error:
            raise translated(error) from error

    def put(self, table: str, row: TableRow) -> None:
        """Insert a row, or replace the one with the same primary key."""
        self.execute(_replace(table, row), map(_plain, row.values()))

    def put_all(self, into: "Into", rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, or update those with the same key, in the caller's transaction or else its own.

        Each statement takes many rows: SQLite releases the GIL for every statement, and busy threads return it late.
        """
        with self.together():
            for at in range(0, len(rows), ROWS_AT_ONCE):
                block = rows[at : at + ROWS_AT_ONCE]
                self.execute(_upsert(into, len(block)), [value for row in block for value in row])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.conn.close()


def _check_version(db: sqlite_utils.Database, migrations: Migrations) -> None:
    """See that every migration of a file is known here; a file without any is new and has no tables.

    Raises:
        NewerStore: one is not known.
        StoreFault: there are tables that no migration made.
    """
    with closing(sqlite_utils.Database(memory=True, execute_plugins=False)) as empty:
        known = {migration.name for migration in migrations.pending(empty)}
    applied = [migration.name for migration in migrations.applied(db)]
    if unknown := [name for name in applied if name not in known]:
        raise NewerStore(f"was written by a newer version of edgefleet, with migration '{unknown[0]}'")
    if not applied and set(db.table_names()) - {migrations.migrations_table}:
        raise StoreFault("its tables are of another program")


class Snapshot:
    """SELECTs on one snapshot, read row by row."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Iterable[Any] = ()) -> Iterator[sqlite3.Row]:
        """The rows of a SELECT, never all in memory."""
        return self._connection.execute(sql, list(values))


@cache
def _upsert(into: Into, count: int) -> str:
    row = f"({', '.join('?' for _ in into.columns)})"
    changes = (f"{name} = excluded.{name}" for name in into.columns if name not in (*into.key, *into.kept))
    # These are our own column names, never input.
    return f"""INSERT INTO {into.table} ({", ".join(into.columns)}) VALUES {", ".join([row] * count)}
        ON CONFLICT ({", ".join(into.key)}) DO UPDATE SET {", ".join(changes)}"""  # noqa: S608


def _replace(table: str, row: TableRow) -> str:
    columns = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    # These are our own field names, never input.
    return f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608


def unfolded(row: TableRow, columns: Iterable[str]) -> TableRow:
    """A row with these columns parsed as JSON."""
    return {k: json.loads(v) if k in columns and v is not None else v for k, v in row.items()}


def _plain(value: Any) -> Any:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list | tuple) else value
