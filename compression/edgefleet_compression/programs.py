"""Runs a program that says nothing until it ends, and ends it when it hangs."""

import subprocess
import time
from collections.abc import Mapping, Sequence

import psutil

from edgefleet_compression.heartbeat import Stillness

LOOK_S = 0.5


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


def cpu_seconds(pid: int, unknown: float) -> float:
    """The CPU time that a process and its children have taken so far; `unknown` if it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(sum(member.cpu_times()[:4]) for member in family)
    except psutil.Error:
        return unknown
