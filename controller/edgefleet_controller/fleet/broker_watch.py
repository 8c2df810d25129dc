"""Keeps the embedded broker running, and starts it again once its full disk has room."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edgefleet_controller.fleet.broker_restart import BrokerRestart

log = logging.getLogger(__name__)


class Restartable(Protocol):
    """The part of the embedded broker that this needs."""

    def ensure_running(self) -> bool:
        """Start the broker if it is not running; whether it had to be started."""

    def stop(self) -> None:
        """End the broker."""


class BrokerWatch:
    """Looks after the embedded broker at every tick.

    Args:
        broker: the embedded broker.
        folder: a folder on its disk.
        free_bytes: how much room that disk has.
    """

    def __init__(
        self, broker: Restartable, folder: Path, free_bytes: Callable[[Path], int] = lambda f: shutil.disk_usage(f).free
    ) -> None:
        self._broker, self._folder, self._free_bytes = broker, folder, free_bytes
        self._restart = BrokerRestart()

    def tick(self) -> None:
        """Start the broker if it is down, or cannot write any more though there is room again.

        Raises:
            BrokerError: it does not start.
        """
        if self._restart.is_over(self._free_bytes(self._folder)):
            log.warning("the disk was full: restarting the broker, which would not write again by itself")
            self._broker.stop()
        self._broker.ensure_running()
