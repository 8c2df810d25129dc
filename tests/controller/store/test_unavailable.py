"""What SQLite cannot do is told in our own errors, and in words that say what to do; nothing of it is kept."""

import asyncio
import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from edgefleet_contract.segments import SegmentRecord
from edgefleet_controller.api.problem import add_problems
from edgefleet_controller.errors import DiskFull, ReadOnly, StoreFault, StoreUnavailable, Taken, TooManyFiles
from edgefleet_controller.store.fair_lock import FairLock
from edgefleet_controller.store.sqlite.database import Database
from edgefleet_controller.store.sqlite.fleet_migrations import FLEET
from edgefleet_controller.store.sqlite.segments import SqliteSegments
from edgefleet_controller.trouble import why_unavailable


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "fleet.db", "FULL", FLEET, FairLock())
    yield opened
    opened.close()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "fleet.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def full(folder: Path, db: Database) -> Iterator[None]:
    pages = db.row("PRAGMA page_count")
    db.rows(f"PRAGMA max_page_count = {pages['page_count'] if pages else 0}")
    yield
    db.rows("PRAGMA max_page_count = 1000000")


def large(name: str) -> SegmentRecord:
    return SegmentRecord(name=name, selector="a=" + "b" * 100_000)


def test_a_full_disk(tmp_path: Path, db: Database) -> None:
    with full(tmp_path, db), pytest.raises(DiskFull, match=r"make room there \(database or disk is full\)"):
        SqliteSegments(db).put(large("eu"))
    assert SqliteSegments(db).all() == []
    SqliteSegments(db).put(large("eu"))


def test_a_full_disk_within_a_transaction_leaves_nothing_of_it(tmp_path: Path, db: Database) -> None:
    with full(tmp_path, db), pytest.raises(DiskFull), db.transaction():
        SqliteSegments(db).put(SegmentRecord(name="small", selector=""))
        SqliteSegments(db).put(large("eu"))
    assert SqliteSegments(db).all() == []


def test_a_store_that_another_program_holds(tmp_path: Path, db: Database) -> None:
    with held(tmp_path), pytest.raises(Taken, match="stop it if it is a backup"):
        SqliteSegments(db).put(large("eu"))
    assert SqliteSegments(db).all() == []


def test_a_store_that_cannot_be_written(db: Database) -> None:
    db.execute("PRAGMA query_only = 1")
    with pytest.raises(ReadOnly, match="its disk is mounted for writing"):
        SqliteSegments(db).put(large("eu"))


def test_a_damaged_file_and_a_statement_of_ours_that_is_wrong_are_faults(tmp_path: Path, db: Database) -> None:
    (tmp_path / "other.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreFault, match="file is not a database"):
        Database(tmp_path / "other.db", "FULL", FLEET, FairLock())
    for ask in (db.rows, db.tuples, db.execute, db.committed):
        with pytest.raises(StoreFault, match="no such table: nowhere"):
            ask("SELECT * FROM nowhere")


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EROFS, ReadOnly), (errno.EMFILE, TooManyFiles)]
)
def test_files_beside_the_store_meet_the_same_disk(number: int, kind: type[StoreUnavailable]) -> None:
    assert why_unavailable(OSError(number, "so it says")) == str(kind("so it says"))
    assert why_unavailable(OSError(errno.EPIPE, "another thing")) is None


async def answer_of(app: FastAPI) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://controller") as client:
        return await client.get("/")


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (Taken("locked"), 503, "another program holds the store"),
        (OSError(errno.ENOSPC, "full"), 503, "make room"),
        (StoreFault("no such table"), 500, "internal error (StoreFault)"),
    ],
)
def test_rest_answers_503_where_it_may_be_asked_again(error: Exception, status: int, told: str) -> None:
    app = FastAPI()
    add_problems(app)

    @app.get("/")
    def fail() -> None:
        raise error

    answer = asyncio.run(answer_of(app))
    assert answer.status_code == status
    assert told in answer.json()["detail"]
    assert ("retry-after" in answer.headers) is (status == 503)
