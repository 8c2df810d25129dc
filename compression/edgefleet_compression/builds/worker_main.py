"""What a worker process does: it takes calls from a pipe, and never outlives its parent."""

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
from typing import Generic, TypeVar

OOM_SCORE = "800"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""What glibc's mallopt calls them, in malloc.h."""
KEPT_BYTES, LARGE_BYTES = 256 * 2**20, 32 * 2**20
"""Freed memory that a worker keeps for its next allocation, and the size from which one always goes to the system."""


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


def serve(pipe: Connection) -> None:
    """Answer the calls that come from `pipe`, functions without arguments, until it is closed."""
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
    """The error itself if it survives the pipe, else what it says."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def warm_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone: a spawned worker would live on for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # where the system runs out of memory, a build goes before the service that asked for it
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, name="parent-watch", daemon=True).start()


def keep_freed_memory() -> None:
    """Use freed memory again: a training step allocates what the last one freed, and the system zeroes every page.

    Elsewhere than on glibc it does nothing.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def one_thread() -> None:
    """Let torch compute on one thread: workers share the host's cores by being several.

    Without torch, models brought as files are compressed all the same, by steps that need none.
    """
    if find_spec("torch") is None:
        return
    import torch

    torch.set_num_threads(1)
