"""Runs a program that says nothing until it ends, and ends it when it hangs."""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import psutil

from edgefleet_compression.heartbeat import Stillness

LOOK_S = 0.5
OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory", "out of memory")
"""What a program says last that got no more memory: Python's, C++'s or the system's words."""
CRASHES = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"})
SIGNALS = frozenset(signal.valid_signals())


class ProgramHangs(Exception):  # noqa: N818 - reads as the statement it makes
    """The program has taken its limit of CPU time, or none at all for that long."""


def output_of(command: Sequence[str], silent_s: float, environment: Mapping[str, str] | None = None) -> str:
    """What a program prints.

    Args:
        command: the program and its arguments.
        silent_s: seconds of CPU time that it may take, and of wall time that it may take none.
        environment: its variables; None gives it ours.

    Raises:
        ProgramHangs: it did.
        subprocess.CalledProcessError: it failed; with what it said.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as child:
        silence = Stillness(time.monotonic(), 0.0)
        while True:
            try:
                out, err = child.communicate(timeout=LOOK_S)
            except subprocess.TimeoutExpired:
                if silence.ends(silent_s, time.monotonic(), cpu_seconds(child.pid, silence.cpu_s)):
                    child.kill()
                    child.communicate()
                    raise ProgramHangs(f"no end after {silent_s:.0f} s") from None
                continue
            except BaseException:
                child.kill()
                raise
            if child.returncode:
                raise subprocess.CalledProcessError(child.returncode, command, out, err)
            return out


class ProgramEnd(NamedTuple):
    """Why a program ended before it had answered: of which kind, and in words."""

    cause: Literal["time", "memory", "killed", "crash", "error"]
    words: str


def end_of(error: subprocess.CalledProcessError) -> ProgramEnd:
    """Why a program of ours failed: by the signal that ended it, or by what it said last."""
    lines = (error.stderr or "").strip().splitlines()
    last = " ".join(lines[-1].split())[:300] if lines else "it said nothing"
    if any(word in last for word in OUT_OF_MEMORY):
        return ProgramEnd("memory", f"it asked for more memory than it may have ({last})")
    if error.returncode >= 0:
        return ProgramEnd("error", last)
    name = signal.Signals(-error.returncode).name if -error.returncode in SIGNALS else f"signal {-error.returncode}"
    if name == "SIGXCPU":
        return ProgramEnd("time", "it took all the CPU time that it may have (SIGXCPU)")
    if name == "SIGKILL":
        return ProgramEnd("killed", "the system killed it (SIGKILL), as it does where memory runs out")
    if name in CRASHES:
        return ProgramEnd("crash", f"it crashed ({name})")
    return ProgramEnd("killed", f"somebody ended it ({name})")


def cpu_seconds(pid: int, unknown: float) -> float:
    """The CPU time that a process and its children have taken so far; `unknown` if it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(sum(member.cpu_times()[:4]) for member in family)
    except psutil.Error:
        return unknown
