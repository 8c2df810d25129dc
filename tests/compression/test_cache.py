"""The cache gives a whole entry or none, to any number of workers, whatever was killed when."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from edgefleet_compression.cache import Cache, LedgerLine, step_key

KEY = "a" * 64


def write(folder: Path, text: str = "made") -> None:
    (folder / "file").write_text(text)


def key(**changed: object) -> str:
    given: dict[str, object] = {"input_digest": "i", "step": "s", "revision": 1, "config": {"a": 1}}
    given |= {"data_digest": "d", "source_digest": "t", "seed": 0}
    return step_key(**(given | changed))  # type: ignore[arg-type]


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    _, cached_first = cache.get_or_put(KEY, write)
    folder, cached_then = Cache(tmp_path).get_or_put(KEY, lambda folder: pytest.fail("made twice"))
    assert (cached_first, cached_then) == (False, True)
    assert (folder / "file").read_text() == "made"


@pytest.mark.parametrize(
    "changed",
    [{"input_digest": "j"}, {"step": "t"}, {"revision": 2}, {"config": {"a": 2}}, {"data_digest": "e"},
     {"source_digest": "u"}, {"seed": 1}],
)  # fmt: skip
def test_all_that_decides_a_result_is_in_its_key(changed: dict[str, object]) -> None:
    assert key() == key()
    assert key(**changed) != key()


def test_an_entry_that_is_there_already_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put(KEY, write)
    folder = cache.put(KEY, lambda folder: write(folder, "made again"))
    assert (folder / "file").read_text() == "made"
    assert list((tmp_path / "partial").iterdir()) == []


def test_what_failed_leaves_no_entry(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        write(folder)
        raise RuntimeError("half way")

    cache = Cache(tmp_path)
    with pytest.raises(RuntimeError):
        cache.get_or_put(KEY, fails)
    assert cache.get(KEY) is None
    assert list((tmp_path / "partial").iterdir()) == []


def test_what_a_killed_worker_left_is_swept_away_a_day_later(tmp_path: Path) -> None:
    Cache(tmp_path)
    for name, age_s in (("old", 2 * 24 * 3600), ("new", 60)):
        (tmp_path / "partial" / name).mkdir()
        os.utime(tmp_path / "partial" / name, (time.time() - age_s,) * 2)
    Cache(tmp_path)
    assert [path.name for path in (tmp_path / "partial").iterdir()] == ["new"]


def test_an_entry_that_lost_a_byte_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    folder, _ = cache.get_or_put(KEY, write)
    (folder / "file").write_text("mad")
    folder, cached = cache.get_or_put(KEY, write)
    assert not cached and (folder / "file").read_text() == "made"


def _slow_worker(folder: Path, started: Path, slow_s: float) -> None:
    def fill(entry: Path) -> None:
        write(entry, "by a worker")
        with started.open("a") as file:
            file.write("x")
        time.sleep(slow_s)

    Cache(folder).get_or_put(KEY, fill)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was never made"
        time.sleep(0.01)


def test_two_workers_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    started = tmp_path / "started"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_slow_worker, args=(tmp_path / "c", started, 0.3)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert started.read_text() == "x"


def test_a_worker_killed_half_way_leaves_neither_an_entry_nor_a_lock(tmp_path: Path) -> None:
    started = tmp_path / "started"
    worker = multiprocessing.get_context("spawn").Process(target=_slow_worker, args=(tmp_path / "c", started, 60.0))
    worker.start()
    _wait_for(started)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(10)
    cache = Cache(tmp_path / "c")
    assert cache.get(KEY) is None
    folder, cached = cache.get_or_put(KEY, write)
    assert not cached and (folder / "file").read_text() == "made"


def test_the_ledger_keeps_what_ran_and_passes_over_a_torn_line(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.ledger() == []
    cache.note(LedgerLine("export", "a", 1.5))
    with (tmp_path / "ledger.jsonl").open("ab") as ledger:
        ledger.write(b'{"step": "dis')
    assert cache.ledger() == [LedgerLine("export", "a", 1.5)]
