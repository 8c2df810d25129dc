"""Starts our own Python programs as children: the only place that does, so that none imports from where it was started.

Without -P, `python -m` and multiprocessing put the current folder first: a `numpy.py` there would run as ours.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

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
    """A process that will call a function of ours and ends with this one; not started yet."""
    from multiprocessing import get_context  # a megabyte that an agent never needs

    os.environ["PYTHONSAFEPATH"] = "1"  # multiprocessing has no other way to tell the interpreters that it starts
    return get_context("spawn").Process(target=target, args=arguments, daemon=True)


def leave_current_folder() -> None:
    """Stop importing from the current folder, which `python -m` has put first; spawned processes take over the path."""
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]
