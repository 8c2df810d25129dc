"""A pool of worker processes with limits: a build that crashes, hangs or eats memory fails alone.

A standard process pool breaks when one worker dies, and cannot end one that hangs. Here each worker has a pipe, and a
thread of the parent that watches it.

Memory is polled rather than limited by the system: RLIMIT_AS counts the gigabytes that torch and onnxruntime reserve
and never touch, and a refused allocation ends in an abort or a misleading error. The resident memory of a worker and
its children is read every tenth of a second; anything that grows faster is left to the kernel, which kills workers
first (worker_main.py).
"""

import contextlib
import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import ParamSpec, TypeVar

import psutil

from edgefleet_compression.builds.worker_main import Answer, Failed, serve
from edgefleet_compression.errors import CalledOff, WorkerLostError, WorkerMemoryError, WorkerTimeoutError
from edgefleet_compression.heartbeat import SILENT_S, Stillness
from edgefleet_compression.programs import cpu_seconds
from edgefleet_process.children import spawned

P = ParamSpec("P")
T = TypeVar("T")

WATCH_S = 0.1
LEAVE_S = 0.5
"""How long an idle worker may take to exit before it is killed."""
MEMORY_SHARE = 0.8
"""Share of the host's memory that all workers together may use."""
KEEP_SHARE = 0.5
"""A worker that holds more than this share of its limit after a build is replaced before the next one."""
MB = 2**20


@dataclass(frozen=True)
class Limits:
    """Limits of one call: seconds without progress (see `heartbeat`), and MB of memory including child processes.

    `seconds` of wall time are for whoever has only so many, as a search has. Once `called_off` is set, the call ends
    within a moment, or never begins.
    """

    silent_s: float = SILENT_S
    memory_mb: float = float("inf")
    seconds: float = float("inf")
    called_off: threading.Event | None = None

    def refuse_if_called_off(self) -> None:
        """See that the work is still wanted.

        Raises:
            CalledOff: it is not.
        """
        if self.called_off is not None and self.called_off.is_set():
            raise CalledOff("it was called off; finished steps are in the cache")


def fair_memory_mb(workers: int) -> float:
    """The memory limit of each worker, in MB, when this host runs so many."""
    return MEMORY_SHARE * float(psutil.virtual_memory().total) / MB / workers


class WorkerPool(Executor):
    """An executor whose spawned processes take calls that pickle; each process starts when first needed."""

    def __init__(self, count: int, limits: Limits | None = None) -> None:
        """Use up to `count` processes at a time.

        Args:
            count: processes.
            limits: of a call submitted without limits of its own; None allows a fair share of memory.
        """
        self.count = count
        self.limits = limits or Limits(memory_mb=fair_memory_mb(count))
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker-watch")
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._alive: set[_Worker] = set()
        self._stopped = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a worker; the future raises WorkerLostError if it crashed or exceeded its limits."""
        return self.submit_within(self.limits, fn, *args, **kwargs)

    def submit_within(self, limits: Limits, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a worker under its own limits; the time counts from when it begins."""
        return self._threads.submit(self._run, limits, partial(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop the workers; with `cancel_futures` at once, so that calls in progress fail."""
        if cancel_futures:
            self._stopped = True
            self._threads.shutdown(wait=False, cancel_futures=True)  # before a freed thread takes the next call
            for worker in list(self._alive):
                worker.end(LEAVE_S)
        self._threads.shutdown(wait=wait)
        for worker in list(self._alive):
            worker.end(LEAVE_S)

    def _run(self, limits: Limits, call: Callable[[], T]) -> T:
        limits.refuse_if_called_off()
        worker = self._take()
        try:
            return worker.ask(call, limits)
        finally:
            if worker.is_usable(limits):
                self._idle.put(worker)
            else:
                worker.end(0.0)
                self._alive.discard(worker)

    def _take(self) -> "_Worker":
        if self._stopped:
            raise WorkerLostError("it was stopped")
        with contextlib.suppress(queue.Empty):
            while True:
                worker = self._idle.get_nowait()
                if worker.is_alive():
                    return worker
                worker.end(0.0)  # it died while it was idle: no build's fault
                self._alive.discard(worker)
        worker = _Worker()
        self._alive.add(worker)
        return worker


class _Worker:
    """One process, and the parent's end of its pipe; used by one thread at a time."""

    def __init__(self) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._pipe: Connection = ours
        self._beats = multiprocessing.RawValue("L", 0)
        self._process: BaseProcess = spawned(serve, theirs, self._beats)
        theirs.close()  # so that the pipe ends when the worker dies
        self.is_idle = True
        self._lost = False

    def ask(self, call: Callable[[], T], limits: Limits) -> T:
        """Run `call` in the process; return or raise what it does.

        Raises:
            WorkerLostError: the process crashed, hung or took too much memory, and is gone.
            CalledOff: the work was called off, and the process ended.
        """
        self.is_idle = False
        try:
            self._pipe.send(call)
            self._watch(limits)
            answer: Answer[T] = self._pipe.recv()
        except (EOFError, OSError):
            self._lost = True
            raise WorkerLostError(f"its worker process {self._how_it_ended()}") from None
        finally:
            self.is_idle = True
        if isinstance(answer, Failed):
            raise answer.error
        return answer.value

    def is_usable(self, limits: Limits) -> bool:
        """Whether it can take another call."""
        return not self._lost and self._memory_mb() <= KEEP_SHARE * limits.memory_mb and self.is_alive()

    def is_alive(self) -> bool:
        """Whether its process runs; one whose threads are still ending does not."""
        try:
            ending = psutil.Process(self._process.pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.Error:
            return False
        return not ending and self._process.is_alive()

    def end(self, leave_s: float) -> None:
        """Give it so long to exit if it is idle, then kill it and everything it started."""
        if self.is_idle:
            self._pipe.close()
            self._process.join(leave_s)
        if self._process.is_alive():
            self._kill()

    def _watch(self, limits: Limits) -> None:
        """Wait until it answers or ends; kill it when it exceeds its limits."""
        began_s = time.monotonic()
        silence = Stillness(began_s, self._cpu_s(0.0), self._beats.value)
        while not self._pipe.poll(max(0.0, min(WATCH_S, began_s + limits.seconds - time.monotonic()))):
            if limits.called_off is not None and limits.called_off.is_set():
                self._end_lost()
                limits.refuse_if_called_off()
            now_s = time.monotonic()
            if now_s >= began_s + limits.seconds:
                self._end_lost()
                raise WorkerTimeoutError(f"its worker process took longer than the {limits.seconds:.0f} s left")
            if silence.ends(limits.silent_s, now_s, self._cpu_s(silence.cpu_s), self._beats.value):
                self._end_lost()
                raise WorkerTimeoutError(
                    f"its worker process made no progress for {limits.silent_s:.0f} s: it hangs, or needs a higher "
                    "--build-timeout"
                )
            if (used := self._memory_mb()) > limits.memory_mb:
                self._end_lost()
                raise WorkerMemoryError(
                    f"its worker process took {used:,.0f} MB of memory, at most {limits.memory_mb:,.0f} MB are allowed"
                )

    def _end_lost(self) -> None:
        self._lost = True
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(psutil.Error, TypeError):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                child.kill()
        self._process.kill()
        self._process.join()

    def _cpu_s(self, unknown: float) -> float:
        return cpu_seconds(self._process.pid or 0, unknown)

    def _memory_mb(self) -> float:
        try:
            process = psutil.Process(self._process.pid)
            family = [process, *process.children(recursive=True)]
            return sum(float(member.memory_info().rss) for member in family) / MB
        except psutil.Error:  # it is gone: the pipe will say so
            return 0.0

    def _how_it_ended(self) -> str:
        self._process.join(LEAVE_S)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"ended with code {code}"
        advice = ": the system was out of memory, or somebody ended it" if -code == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}{advice}"
