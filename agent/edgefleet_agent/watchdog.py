"""Tell systemd that the agent is ready, alive or stopping; without systemd, do nothing."""

import os
import socket
from collections.abc import Mapping


class Watchdog:
    """Speaks the sd_notify(3) protocol, one datagram per message; never fails.

    Args:
        environment: its `NOTIFY_SOCKET` names systemd's socket.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")

    def ready(self) -> None:
        """The agent answers."""
        self._say("READY=1")

    def alive(self) -> None:
        """The loop runs; after WatchdogSec without this, systemd restarts the agent."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """The agent is ending."""
        self._say("STOPPING=1")

    def _say(self, word: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the null byte of an abstract address.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
                speaker.setblocking(False)
                speaker.sendto(word.encode(), address)
        except OSError:
            return
