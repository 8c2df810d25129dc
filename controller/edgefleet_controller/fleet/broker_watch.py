"""Keeps the embedded broker running, and restarts it once a full disk has space again."""

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
        """Start the broker if it is not running; returns whether it was started."""

    def stop(self) -> None:
        """Stop the broker."""


class BrokerWatch:
    """Checks the embedded broker at every tick.

    Args:
        broker: the embedded broker.
        folder: a folder on its disk.
        free_bytes: the free space on that disk.
    """

    def __init__(
        self, broker: Restartable, folder: Path, free_bytes: Callable[[Path], int] = lambda f: shutil.disk_usage(f).free
    ) -> None:
        self._broker, self._folder, self._free_bytes = broker, folder, free_bytes
        self._restart = BrokerRestart()

    def tick(self) -> None:
        """Start the broker if it is down, or restart it after a full disk.

        Raises:
            BrokerError: it does not start or stop.
        """
        if self._restart.is_over(self._free_bytes(self._folder)):
            log.warning("the disk was full: restarting the broker, which does not recover by itself")
            self._broker.stop()
        self._broker.ensure_running()
