"""The main loop of a worker process, which takes calls from a pipe and never outlives its parent."""

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgefleet_compression import heartbeat

OOM_SCORE = "800"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt, from malloc.h."""
KEPT_BYTES, LARGE_BYTES = 256 * 2**20, 32 * 2**20
"""How much freed memory a worker keeps, and the size from which an allocation always goes to the system."""


T = TypeVar("T")


@dataclass(frozen=True)
class Returned(Generic[T]):
    """What a call returned."""

    value: T


@dataclass(frozen=True)
class Failed:
    """What a call raised."""

    error: Exception


Answer = Returned[T] | Failed


def serve(pipe: Connection, beats: Any) -> None:
    """Run each callable received from `pipe` and send its answer, until the pipe is closed.

    Args:
        pipe: the worker's end.
        beats: a shared integer that counts its heartbeats.
    """
    heartbeat.begin(beats)
    warm_worker()
    keep_freed_memory()
    while True:
        try:
            call: Callable[[], object] = pipe.recv()
        except EOFError:
            return
        with suppress(BrokenPipeError):
            pipe.send(_answer(call))


def _answer(call: Callable[[], T]) -> Answer[T]:
    try:
        return Returned(call())
    except Exception as error:
        return Failed(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error itself if it can be pickled, else its message."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def warm_worker() -> None:
    """Leave Ctrl-C to the parent, and exit when the parent is gone; a spawned worker would otherwise live on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # out of memory, the kernel kills a build before the service that asked for it
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, name="parent-watch", daemon=True).start()


def keep_freed_memory() -> None:
    """Keep freed memory: a training step allocates what the last one freed, and the system would zero every page.

    Does nothing without glibc.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def one_thread() -> None:
    """Limit torch to one thread: several workers share the host's cores.

    Without torch, models brought as files are compressed all the same, by steps that need none.
    """
    if find_spec("torch") is None:
        return
    import torch

    torch.set_num_threads(1)
