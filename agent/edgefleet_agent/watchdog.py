"""Tell systemd that we are ready, alive and stopping; without systemd nothing happens."""

import os
import socket
from collections.abc import Mapping


class Watchdog:
    """Speaks sd_notify's protocol: one datagram for each word (see sd_notify(3)); never fails.

    Args:
        environment: where `NOTIFY_SOCKET` names systemd's socket, if it waits for words.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")

    def ready(self) -> None:
        """The agent answers."""
        self._say("READY=1")

    def alive(self) -> None:
        """The loop goes round; without this for WatchdogSec the agent is killed and started again."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """The agent was asked to end."""
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
