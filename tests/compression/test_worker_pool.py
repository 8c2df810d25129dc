"""A build that crashes, hangs or eats memory costs itself: the others go on, in workers that are replaced."""

import contextlib
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgefleet_compression import heartbeat
from edgefleet_compression.builds.worker_pool import Limits, WorkerPool
from edgefleet_compression.builds.worker_team import WorkerTeam
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import CalledOff, StepError, WorkerLostError, WorkerTimeoutError
from edgefleet_compression.programs import ProgramHangs, output_of


def who() -> int:
    return os.getpid()


def crash(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave() -> None:
    os._exit(3)


def hang(noted: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    Path(noted).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(300)


def spin() -> None:
    while True:
        pass


def beat_for(seconds: float) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        heartbeat.beat()
    return "done"


def make_once(folder: Path) -> bool:
    def fill(entry: Path) -> None:
        (entry / "made").write_text(beat_for(8.0))

    return Cache(folder).get_or_put("k" * 64, fill)[1]


def eat(megabytes: int) -> None:
    kept = bytearray(megabytes * 2**20)
    for page in range(0, len(kept), 4096):
        kept[page] = 1
    time.sleep(60)


def fail() -> None:
    raise StepError("the loss is not finite")


class Stubborn(Exception):  # noqa: N818 - cannot be sent: its parts are not its arguments
    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def fail_unsendably() -> None:
    raise Stubborn("half", "way")


def oom_score() -> int:
    return int(Path("/proc/self/oom_score_adj").read_text())


def page_faults_of_steps() -> int:
    """As training does: several large tensors live at once and are freed, step after step."""
    steps, began = 20, 0
    for step in range(steps):
        if step == 1:
            began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        kept = [np.ones(2 * 2**20, np.float32) for _ in range(8)]
        del kept
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began) // (steps - 1)


@pytest.fixture
def workers() -> Iterator[WorkerPool]:
    pool = WorkerPool(2, Limits(seconds=60, memory_mb=400))
    yield pool
    pool.shutdown(cancel_futures=True)


def test_a_worker_is_used_again_and_is_the_first_to_go_when_memory_is_out(workers: WorkerPool) -> None:
    first = workers.submit(who).result()
    assert workers.submit(who).result() == first != os.getpid()
    assert workers.submit(oom_score).result() == 800


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_freed_memory_is_used_again_by_the_next_step(workers: WorkerPool) -> None:
    pages = 8 * 8 * 2**20 // resource.getpagesize()
    assert workers.submit(page_faults_of_steps).result() < pages / 20


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGKILL, "was killed by SIGKILL: the system was out of memory"), (signal.SIGSEGV, "killed by SIGSEGV")],
)
def test_a_crash_is_one_failure_and_the_others_go_on(workers: WorkerPool, number: int, reason: str) -> None:
    good = [workers.submit(who) for _ in range(2)]
    bad = workers.submit(crash, number)
    more = [workers.submit(who) for _ in range(3)]
    with pytest.raises(WorkerLostError, match=reason):
        bad.result(30)
    assert all(isinstance(future.result(30), int) for future in good + more)


def test_a_worker_that_leaves_is_replaced(workers: WorkerPool) -> None:
    for _ in range(3):
        with pytest.raises(WorkerLostError, match="ended with code 3"):
            workers.submit(leave).result(30)
    assert workers.submit(who).result(30)


def test_a_worker_that_died_while_it_was_idle_costs_no_build(workers: WorkerPool) -> None:
    idle = workers.submit(who).result(30)
    os.kill(idle, signal.SIGKILL)
    until = time.monotonic() + 10
    while lives(idle):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert workers.submit(who).result(30) != idle


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def test_a_hang_is_ended_at_its_limit_with_all_that_it_started(workers: WorkerPool, tmp_path: Path) -> None:
    workers.submit(who).result(30)
    hanging = workers.submit_within(Limits(silent_s=6), hang, str(tmp_path / "pids"))
    assert workers.submit(who).result(30)
    with pytest.raises(WorkerTimeoutError, match="made no progress for 6 s: it hangs"):
        hanging.result(60)
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        until = time.monotonic() + 10
        while lives(pid):
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_loop_without_an_end_is_ended_by_the_cpu_time_that_it_takes(workers: WorkerPool) -> None:
    spinning = workers.submit_within(Limits(silent_s=1), spin)
    with pytest.raises(WorkerTimeoutError, match="made no progress for 1 s"):
        spinning.result(60)


def test_work_that_gets_on_takes_as_long_as_it_takes(workers: WorkerPool) -> None:
    workers.submit(who).result(60)  # it has started: that takes CPU time too
    assert workers.submit_within(Limits(silent_s=2), beat_for, 6.0).result(120) == "done"


def test_who_waits_for_what_another_worker_makes_does_not_hang(workers: WorkerPool, tmp_path: Path) -> None:
    for started in [workers.submit(who) for _ in range(2)]:
        started.result(60)
    both = [workers.submit_within(Limits(silent_s=4), make_once, tmp_path) for _ in range(2)]
    assert sorted(one.result(120) for one in both) == [False, True]


def test_wall_time_ends_only_what_has_no_more_of_it(workers: WorkerPool) -> None:
    late = workers.submit_within(Limits(seconds=2), beat_for, 60.0)
    with pytest.raises(WorkerTimeoutError, match="took longer than the 2 s left"):
        late.result(60)


@pytest.mark.parametrize(
    ("wall_s", "cpu_s", "beats", "hangs"),
    [
        (100, 99, 0, False),
        (101, 100, 0, True),  # busy all the time, with nothing to show for it
        (100, 0.5, 0, True),  # at rest
        (1000, 99, 0, False),  # on a busy host, that gives it a tenth of a CPU
        (1000, 500, 1, False),
    ],
)
def test_silence_counts_in_cpu_time_or_at_rest(wall_s: float, cpu_s: float, beats: int, hangs: bool) -> None:
    assert heartbeat.Stillness(0.0, 0.0).ends(100, wall_s, cpu_s, beats) is hangs


def test_a_beat_begins_the_silence_anew() -> None:
    silence = heartbeat.Stillness(0.0, 0.0)
    assert not silence.ends(100, 90, 90, beats=1)
    assert not silence.ends(100, 180, 180, beats=1)
    assert silence.ends(100, 200, 190, beats=1)


def test_a_program_that_hangs_is_ended_and_one_that_fails_says_why() -> None:
    assert output_of([sys.executable, "-c", "print('fine')"], 60) == "fine\n"
    with pytest.raises(ProgramHangs, match="no end after 1 s"):
        output_of([sys.executable, "-c", "import time; time.sleep(60)"], 1)
    with pytest.raises(ProgramHangs):
        output_of([sys.executable, "-c", "while True: pass"], 1)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        output_of([sys.executable, "-c", "raise SystemExit('because')"], 60)
    assert "because" in failed.value.stderr


def test_a_build_that_eats_memory_is_ended_and_says_how_much_it_took(workers: WorkerPool) -> None:
    eating = workers.submit(eat, 600)
    beside = workers.submit(who)
    with pytest.raises(WorkerLostError, match=r"took \d+ MB of memory, at most 400 MB are allowed"):
        eating.result(60)
    assert beside.result(30) and workers.submit(who).result(30)


def test_an_error_comes_back_as_itself_or_as_what_it_said(workers: WorkerPool) -> None:
    with pytest.raises(StepError, match="not finite"):
        workers.submit(fail).result(30)
    with pytest.raises(RuntimeError, match="Stubborn: halfway"):
        workers.submit(fail_unsendably).result(30)


def test_stopping_ends_what_was_begun_and_cancels_the_rest(tmp_path: Path) -> None:
    pool = WorkerPool(1, Limits())
    begun = pool.submit(hang, str(tmp_path / "pids"))
    waiting = pool.submit(who)
    until = time.monotonic() + 30
    while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    pool.shutdown(cancel_futures=True)
    wait([begun, waiting], 10)
    assert waiting.cancelled()
    with pytest.raises(WorkerLostError):
        begun.result()


def test_a_team_that_is_called_off_ends_with_all_that_it_started_and_others_go_on(
    workers: WorkerPool, tmp_path: Path
) -> None:
    team, other = WorkerTeam(workers), WorkerTeam(workers)
    hanging, waiting = team.submit(hang, str(tmp_path / "pids")), [team.submit(who) for _ in range(3)]
    until = time.monotonic() + 60
    while not (tmp_path / "pids").exists() or len((tmp_path / "pids").read_text().split()) < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    began = time.monotonic()
    team.call_off()
    with pytest.raises(CalledOff):
        hanging.result(5)
    assert time.monotonic() - began < 3
    assert not any(lives(int(pid)) for pid in (tmp_path / "pids").read_text().split())
    for future in waiting:
        with contextlib.suppress(CalledOff):
            future.result(30)
    with pytest.raises(CalledOff, match="finished steps are in the cache"):
        team.submit(who)
    assert other.submit(who).result(60)
    assert not other.is_called_off
