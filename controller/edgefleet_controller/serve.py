"""The controller's process: one service and its REST API."""

import gc
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import uvicorn

from edgefleet_contract.announcement import ANNOUNCED_IN, Announcement
from edgefleet_controller.api.app import create_app
from edgefleet_controller.api.connections import BoundedConnection
from edgefleet_controller.failpoints import arm
from edgefleet_controller.listening import listen, local_url
from edgefleet_controller.logs import set_up_logs
from edgefleet_controller.service import Service
from edgefleet_controller.settings import ControllerSettings
from edgefleet_process.durable import replace_file
from edgefleet_process.logs import LogFormat

log = logging.getLogger(__name__)

WITHOUT_TORCH = "only models added as ONNX files can be compressed; for others, pip install 'edgefleet[compression]'"
COLLECT_AFTER = 20_000
"""How many new objects trigger a garbage collection."""


class _Server(uvicorn.Server):
    """uvicorn raises the signal again after it has stopped; we have more to close, and exit with 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def serve(settings: ControllerSettings, log_format: LogFormat = "text") -> None:
    """Run until SIGTERM or SIGINT.

    Args:
        settings: the controller's settings.
        log_format: lines for people, or JSON lines.

    Raises:
        ProcessError: another controller uses the state folder.
        ControllerError: a port is taken, or the broker cannot be used.
    """
    set_up_logs(log_format)
    arm(os.environ.get("EDGEFLEET_FAILPOINT"))
    start = Start()
    service = Service(settings)
    try:
        listener = listen(settings.host, settings.port, settings.state / "api.port")
        url = local_url(listener)
        _collect_seldom()
        service.take_broker()
        config = uvicorn.Config(
            create_app(service),
            http=BoundedConnection,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        with server.capture_signals():  # from here on a signal only ends the server, at once if it has yet to run
            service.start_parts()
            start.end_if_interrupted()
            announce(settings.state, url, service.access.local_url)
            log.info("the API answers on %s, the broker on %s", url, service.access.url)
            if find_spec("torch") is None:
                log.warning("torch is not installed: %s", WITHOUT_TORCH)
            server.run(sockets=[listener])
    finally:
        service.stop()


class Start:
    """A start that a signal ends: what was started is stopped on the way out, and not interrupted again.

    The signal is kept in mind, too: where it comes while Python runs a finalizer, what is raised there is lost.
    """

    def __init__(self) -> None:
        self._interrupted = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    def _end(self, *_: object) -> NoReturn:
        self._interrupted = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(0)

    def end_if_interrupted(self) -> None:
        """End it if a signal came that did not.

        Raises:
            SystemExit: it came.
        """
        if self._interrupted:
            raise SystemExit(0)


def announce(state: Path, api_url: str, broker_url: str) -> None:
    """Write down where to reach this controller, for commands on the same machine."""
    where = Announcement(api=api_url, broker=broker_url, pid=os.getpid())
    replace_file(state / ANNOUNCED_IN, where.model_dump_json().encode())


def _collect_seldom() -> None:
    """Exempt what was loaded so far from garbage collection, and collect the rest less often.

    A fleet's records are made by the ten thousand and have no cycles: with the default threshold of 700, the collector
    took two fifths of the time of planning for 20,000 devices.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
