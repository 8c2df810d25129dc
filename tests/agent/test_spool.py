"""The spool: nothing is forgotten before it is acknowledged, and it never grows without bound."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import get_args

import pytest

from edgefleet_agent.spool import MAX_IN_FLIGHT, Spool
from edgefleet_profiles.parts import DataKind
from edgefleet_protocol.messages import TelemetryWindow

ME = "a" * 32
EVERYTHING = frozenset(get_args(DataKind))
WINDOW = TelemetryWindow(
    incarnation="0" * 32,
    seq=1,
    first_kept_seq=1,
    model="pets",
    model_version=1,
    variant="0" * 64,
    generation=1,
    duration_ms=1000,
    requests=1,
)


def spool(folder: Path, max_windows: int = 100) -> Spool:
    return Spool(folder, ME, EVERYTHING, resend_s=30, max_windows=max_windows)


def test_windows_are_numbered_from_one_and_stamped(tmp_path: Path) -> None:
    one = spool(tmp_path)
    assert [one.add(WINDOW), one.add(WINDOW)] == [1, 2]
    assert [(w.seq, w.first_kept_seq, w.incarnation) for w in one.due(0)] == [(1, 1, ME), (2, 1, ME)]
    one.close()


def test_a_window_is_sent_again_only_after_the_pause(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.add(WINDOW)
    assert [len(one.due(now)) for now in (0, 29, 30, 31)] == [1, 0, 1, 0]
    one.forget_sent()
    assert len(one.due(32)) == 1
    one.close()


def test_what_is_stored_is_forgotten_and_only_for_this_incarnation(tmp_path: Path) -> None:
    one = spool(tmp_path)
    for _ in range(3):
        one.add(WINDOW)
    one.acked("b" * 32, 3)
    assert len(one) == 3
    one.acked(ME, 2)
    assert [(w.seq, w.first_kept_seq) for w in one.due(0)] == [(3, 3)]
    one.close()


def test_numbers_never_come_back_not_even_after_a_restart_with_nothing_kept(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.add(WINDOW)
    one.acked(ME, 1)
    one.close()
    again = spool(tmp_path)
    assert again.add(WINDOW) == 2
    again.close()


def test_beyond_its_bound_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    one = spool(tmp_path, max_windows=3)
    for _ in range(5):
        one.add(WINDOW)
    assert (len(one), one.dropped) == (3, 2)
    assert [(w.seq, w.first_kept_seq) for w in one.due(0)] == [(3, 3), (4, 3), (5, 3)]
    one.close()
    again = spool(tmp_path, max_windows=3)
    assert again.dropped == 2
    again.close()


def test_not_more_than_a_handful_are_in_flight(tmp_path: Path) -> None:
    one = spool(tmp_path)
    for _ in range(MAX_IN_FLIGHT + 5):
        one.add(WINDOW)
    assert len(one.due(0)) == MAX_IN_FLIGHT
    assert one.due(1) == []
    one.acked(ME, 2)
    assert [w.seq for w in one.due(2)] == [MAX_IN_FLIGHT + 1, MAX_IN_FLIGHT + 2]
    one.close()


@pytest.mark.parametrize("through", [0, 10**9])
def test_an_ack_of_anything_harms_nothing(tmp_path: Path, through: int) -> None:
    one = spool(tmp_path)
    one.acked(ME, through)
    assert one.add(WINDOW) == 1
    one.close()


@contextmanager
def taken_by_another(folder: Path) -> Iterator[None]:
    """The file takes nothing: somebody else writes and does not end."""
    other = sqlite3.connect(folder / "spool.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.close()


def impatient(folder: Path, max_in_memory: int) -> Spool:
    return Spool(folder, ME, EVERYTHING, resend_s=30, max_windows=100, max_in_memory=max_in_memory, patience_s=0.01)


def test_while_the_disk_takes_nothing_windows_wait_in_memory_without_a_number(tmp_path: Path) -> None:
    one = impatient(tmp_path, 10)
    one.add(WINDOW)
    with taken_by_another(tmp_path):
        assert [one.add(WINDOW), one.add(WINDOW)] == [None, None]
        assert "locked" in (one.trouble or "")
        assert len(one) == 3
        assert [w.seq for w in one.due(0)] == [1], "what has no number is not sent"
    assert one.settle() == 3
    assert (one.trouble, len(one), one.dropped) == (None, 3, 0)
    assert [w.seq for w in one.due(1)] == [2, 3]
    one.close()


def test_of_what_waits_in_memory_the_oldest_are_lost_and_counted_also_over_a_restart(tmp_path: Path) -> None:
    one = impatient(tmp_path, 2)
    with taken_by_another(tmp_path):
        for requests in (1, 2, 3):
            one.add(WINDOW.model_copy(update={"requests": requests}))
        assert (len(one), one.dropped) == (2, 1)
    one.settle()
    assert [w.requests for w in one.due(0)] == [2, 3]
    one.close()
    again = spool(tmp_path)
    assert again.dropped == 1
    again.close()


def test_an_acknowledgement_that_cannot_be_written_is_remembered(tmp_path: Path) -> None:
    one = impatient(tmp_path, 10)
    one.add(WINDOW)
    one.add(WINDOW)
    with taken_by_another(tmp_path):
        one.acked(ME, 1)
        assert [w.seq for w in one.due(0)] == [2], "what is stored there is not sent again"
    one.settle()
    assert len(one) == 1
    assert [(w.seq, w.first_kept_seq) for w in one.due(100)] == [(2, 2)]
    one.close()


def test_a_spool_that_cannot_be_opened_is_opened_later(tmp_path: Path) -> None:
    one = impatient(tmp_path / "not-there", 10)
    assert one.add(WINDOW) is None
    assert (len(one), one.dropped, one.due(0)) == (1, 0, [])
    (tmp_path / "not-there").mkdir()
    assert one.add(WINDOW) == 2
    assert [w.seq for w in one.due(0)] == [1, 2]
    one.close()


def damaged(folder: Path, windows: int = 3) -> None:
    """A spool with windows in it, of which a crash or an SD card left rubbish."""
    one = spool(folder)
    for _ in range(windows):
        one.add(WINDOW)
    one.close()
    (folder / "spool.db").write_bytes(b"rubbish" * 1000)


def test_a_damaged_file_is_set_aside_and_nothing_gets_a_number_before_a_new_incarnation(tmp_path: Path) -> None:
    damaged(tmp_path)
    one = spool(tmp_path)
    assert one.lost and "spool.db.broken" in one.lost and (tmp_path / "spool.db.broken").exists()
    assert one.add(WINDOW) is None and one.due(0) == [] and len(one) == 1
    one.acked(ME, 1)
    one.begin_anew("b" * 32, 0)
    assert one.lost is None and one.add(WINDOW) == 2, "the one that waited in memory is the first"
    assert [(w.seq, w.first_kept_seq, w.incarnation) for w in one.due(0)] == [(1, 1, "b" * 32), (2, 1, "b" * 32)]
    assert one.trouble is None
    one.close()


def test_a_damaged_file_that_cannot_be_set_aside_is_trouble_until_it_can(tmp_path: Path) -> None:
    damaged(tmp_path)
    (tmp_path / "spool.db.broken" / "in the way").mkdir(parents=True)
    one = spool(tmp_path)
    assert one.lost is None and one.trouble and one.add(WINDOW) is None and one.due(0) == []
    (tmp_path / "spool.db.broken" / "in the way").rmdir()
    (tmp_path / "spool.db.broken").rmdir()
    assert one.settle() is None and one.lost
    one.begin_anew("b" * 32, 0)
    assert one.settle() == 1 and one.trouble is None
    one.close()


def test_damage_that_shows_later_costs_what_was_on_the_disk_and_counts_it(tmp_path: Path) -> None:
    one = spool(tmp_path, max_windows=40)
    for _ in range(50):
        one.add(WINDOW)
    assert one.dropped == 10
    one._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    one._opened().execute("PRAGMA cache_size = 0")
    path = tmp_path / "spool.db"
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + bytes(len(pages) - 4096))
    one.add(WINDOW)
    one.due(0)
    assert one.lost and "damaged" in one.lost
    one.begin_anew("b" * 32, 0)
    assert one.settle() in (None, 1)
    assert one.dropped == 50 and len(one) <= 1
    one.close()


def test_a_window_in_which_bits_have_rotted_is_lost_alone(tmp_path: Path) -> None:
    one = spool(tmp_path)
    for _ in range(3):
        one.add(WINDOW)
    one._opened().execute("UPDATE windows SET body = substr(body, 9) WHERE seq IN (1, 3)")
    assert [(w.seq, w.first_kept_seq) for w in one.due(0)] == [(2, 2)]
    assert (len(one), one.dropped) == (1, 2)
    assert one.add(WINDOW) == 4
    one.close()
    with closing(spool(tmp_path)) as again:
        assert again.dropped == 2


def test_a_file_that_is_gone_took_its_numbers_with_it(tmp_path: Path) -> None:
    first = Spool(tmp_path, ME, EVERYTHING, expected=False)
    assert first.lost is None and first.add(WINDOW) == 1
    first.close()
    with closing(Spool(tmp_path, ME, EVERYTHING, expected=True)) as second:
        assert second.lost is None
    for path in tmp_path.iterdir():
        path.unlink()
    one = Spool(tmp_path, ME, EVERYTHING, expected=True)
    assert one.lost and "gone" in one.lost
    one.begin_anew("b" * 32, 0)
    assert one.add(WINDOW) == 1
    one.close()


def test_what_waits_is_sent_only_as_far_as_the_region_lets_it_leave_today(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, ME, EVERYTHING)) as lax:
        lax.add(WINDOW)
        lax.add(WINDOW.model_copy(update={"requests": 0, "predicted": {"cat": 3}}))
        lax.add(WINDOW.model_copy(update={"predicted": {"cat": 3}}))
    with closing(Spool(tmp_path, ME, ["counts"])) as strict:
        sent = strict.due(0)
        assert [(w.seq, w.requests, w.predicted) for w in sent] == [(1, 1, {}), (3, 1, {})]
        assert (len(strict), strict.dropped) == (2, 1), "one of which nothing may leave is dropped and counted"
    with closing(Spool(tmp_path, ME, [])) as silent:
        assert silent.due(0) == [] and len(silent) == 0


def test_what_may_not_leave_is_not_even_kept(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, ME, [])) as silent:
        assert silent.add(WINDOW) is None
        assert (len(silent), silent.dropped) == (0, 0)
