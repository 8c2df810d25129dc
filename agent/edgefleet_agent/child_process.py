"""A child process whose end also tells how much memory it had taken, which `subprocess` does not."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

LOOK_EVERY_S = 0.002


class ChildProcess:
    """One child with a descriptor of ours; any thread may ask or end it.

    Args:
        command: the program and its arguments.
        descriptor: what it inherits beside its streams.
        environment: its environment.
    """

    def __init__(self, command: Sequence[str], descriptor: int, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        # Its output goes to our stderr.
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=[descriptor], env=environment
        )
        self.peak_bytes = 0
        """The most memory that was resident, once it has ended."""

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """How it ended: its exit status, or the number of the signal with a minus; None while it runs."""
        with self._lock:
            if self._process.returncode is None:
                # Nobody else waits for it: Popen would throw away what it has taken.
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
                if pid:
                    self.peak_bytes = usage.ru_maxrss * 1024
                    self._process.returncode = os.waitstatus_to_exitcode(status)
            return self._process.returncode

    def kill(self) -> None:
        """End it at once, unless it has ended, and wait for that."""
        while self.status is None:
            with self._lock:
                if self._process.returncode is None:
                    os.kill(self.pid, signal.SIGKILL)
            time.sleep(LOOK_EVERY_S)

    def ends_within(self, seconds: float) -> bool:
        """Whether it ends by itself in this time."""
        until_s = time.monotonic() + seconds
        while self.status is None and time.monotonic() < until_s:
            time.sleep(LOOK_EVERY_S)
        return self.status is not None
