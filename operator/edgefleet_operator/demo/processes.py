"""Runs the demo's child processes, each with its own log, and ends each by its own id."""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from edgefleet_operator.errors import OperatorError

GRACE_S = 10
FIRST = "controller"


class DemoProcesses:
    """Starts and ends processes; a note in the state folder records which ones run, for a later `--stop`."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._logs = state / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, psutil.Popen] = {}

    def start(self, name: str, command: list[str]) -> None:
        """Run a command as a process; its output goes to NAME.log."""
        with (self._logs / f"{name}.log").open("ab") as log:
            self._running[name] = psutil.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        note = {name: (child.pid, child.create_time()) for name, child in self._running.items()}
        _note(self._state).write_text(json.dumps(note))

    def check(self) -> None:
        """Check that every process is still running.

        Raises:
            OperatorError: one has ended; the message includes the end of its log.
        """
        for name, child in self._running.items():
            if child.poll() is not None:
                tail = (self._logs / f"{name}.log").read_text(errors="replace").strip().splitlines()[-5:]
                raise OperatorError("\n".join([f"'{name}' ended with status {child.returncode}:", *tail]))

    def cpu_s(self, name: str) -> int:
        """How many whole seconds of a processor a process has had: what starts uses it, what hangs or waits doesn't."""
        try:
            times = self._running[name].cpu_times()
        except psutil.Error:  # it has ended, and `check` says so
            return 0
        return int(times.user + times.system)

    def stop(self, name: str) -> None:
        """End one process."""
        _terminate([self._running.pop(name)])

    def log(self, name: str) -> str:
        """Read a process's log."""
        return (self._logs / f"{name}.log").read_text(errors="replace")

    def leave(self) -> None:
        """Leave everything running."""
        self._running = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._running:
            _end(self._running)
            _note(self._state).unlink(missing_ok=True)


def kept(state: Path) -> dict[str, psutil.Process]:
    """Find the processes of an earlier run that are still running, by name."""
    try:
        note = json.loads(_note(state).read_text())
    except (OSError, ValueError):
        return {}
    found = {}
    for name, (pid, started) in note.items():
        try:
            process = psutil.Process(pid)
            if process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE:
                found[name] = process
        except psutil.NoSuchProcess:
            continue
    return found


def end_kept(state: Path) -> list[str]:
    """End the processes of an earlier run, and return their names."""
    running = kept(state)
    _end(running)
    _note(state).unlink(missing_ok=True)
    return list(running)


def _note(state: Path) -> Path:
    return state / "processes.json"


def _end(processes: dict[str, psutil.Process] | dict[str, psutil.Popen]) -> None:
    """End agents and workload first and the controller last, so that the agents can still report to it."""
    _terminate(p for name, p in processes.items() if name != FIRST)
    _terminate(p for name, p in processes.items() if name == FIRST)


def _terminate(processes: Iterable[psutil.Process | psutil.Popen]) -> None:
    waiting = list(processes)
    for process in waiting:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, stubborn = psutil.wait_procs(waiting, timeout=GRACE_S)
    for process in stubborn:
        process.kill()
