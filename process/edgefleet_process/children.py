"""Starts our own Python programs as children: the only place that does, so that none imports from where it was started.

Without -P, `python -m` and multiprocessing put the current folder first: a `numpy.py` there would run as ours.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

SAFE_PATH = "PYTHONSAFEPATH"
_STARTING = Lock()
WORKER_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""Of an agent's worker, and of what measures for it: an arena per thread or a pool per core would take address space
that the worker's limit counts."""


def run_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this Python."""
    return [sys.executable, "-P", "-m", module, *arguments]


def run_file(path: Path, *arguments: str) -> list[str]:
    """The command that runs a file with this Python; the file cannot import its neighbours."""
    return [sys.executable, "-P", str(path), *arguments]


def spawned(target: Callable[..., object], *arguments: Any) -> "SpawnProcess":
    """Start a process that calls a function of ours, and ends with this one."""
    from multiprocessing import get_context  # a megabyte that an agent never needs

    process = get_context("spawn").Process(target=target, args=arguments, daemon=True)
    with _STARTING:
        before = os.environ.get(SAFE_PATH)
        os.environ[SAFE_PATH] = "1"  # multiprocessing has no other way to tell the interpreters that it starts
        try:
            process.start()
        finally:
            if before is None:
                del os.environ[SAFE_PATH]
            else:
                os.environ[SAFE_PATH] = before
    return process


def leave_current_folder() -> None:
    """Stop importing from the current folder, which `python -m` has put first; spawned processes take over the path."""
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]
