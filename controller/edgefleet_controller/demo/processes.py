"""The demo's child processes: each with a log of its own, each ended by its own id."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from edgefleet_controller.errors import ControllerError


class DemoProcesses:
    """Starts processes and ends them, the last one first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, *command: str) -> None:
        """Run a Python module or script as a process; its output goes to NAME.log."""
        with (self._logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self._running.append((name, child))

    def check(self) -> None:
        """See that every process still runs.

        Raises:
            ControllerError: one has ended, with the end of its log.
        """
        for name, child in self._running:
            if child.poll() is not None:
                tail = (self._logs / f"{name}.log").read_text(errors="replace").strip().splitlines()[-5:]
                raise ControllerError("\n".join([f"'{name}' ended with status {child.returncode}:", *tail]))

    def stop(self, name: str) -> None:
        """End one process."""
        for entry in [e for e in self._running if e[0] == name]:
            _end([entry[1]])
            self._running.remove(entry)

    def stop_all(self) -> None:
        """End the agents and the workload, then the controller, which was started first."""
        if self._running:
            _end([child for _, child in self._running[1:]])
            _end([self._running[0][1]])
        self._running = []

    def leave(self) -> None:
        """Let everything run on."""
        self._running = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop_all()


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.terminate()
    until = time.monotonic() + 10
    for child in children:
        try:
            child.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
