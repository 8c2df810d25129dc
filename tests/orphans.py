"""Processes that tests have started and left behind, like a broker whose controller is gone: nobody else ends them."""

from collections.abc import Iterator
from pathlib import Path

import psutil

ENDING_S = 5.0
"""What has been told to end may take this long."""


def started_in(folder: Path) -> list[psutil.Process]:
    """The processes whose command line names something in a folder."""
    return [process for process in psutil.process_iter() if f"{folder}/" in _command(process)]


def end_all(folder: Path, after_s: float = 0) -> list[str]:
    """End what was started in a folder and still runs after so long; gives their command lines, each once."""
    _, left = psutil.wait_procs(started_in(folder), after_s)
    commands = sorted({_command(process) for process in left} - {""})
    for process in left:
        process.kill()
    psutil.wait_procs(left, ENDING_S)
    return commands


def none_left(folder: Path) -> Iterator[None]:
    """For a fixture: fail when its tests have left processes in their folder, and end these."""
    yield
    left = end_all(folder, ENDING_S)
    assert not left, "tests have left processes behind:\n" + "\n".join(left)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended just now, or is another user's
        return ""
