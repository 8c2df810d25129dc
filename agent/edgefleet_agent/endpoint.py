"""Where the HTTP endpoint listens: at the same address after every start, or not at all."""

import errno
import logging
import threading
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from edgefleet_agent.errors import SettingsError
from edgefleet_agent.http import Server
from edgefleet_agent.serving import Serving

log = logging.getLogger("edgefleet.agent.http")


def authority(host: str, port: int) -> str:
    """HOST:PORT, as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Endpoint:
    """The listening endpoint, on threads of its own.

    Args:
        host: the address.
        port: 0 for any free one.
        serving: answers the requests.
        names: by which applications may ask for it, beside localhost, this machine's name and its addresses.

    Raises:
        SettingsError: it cannot listen there.
    """

    def __init__(self, host: str, port: int, serving: Serving, names: Collection[str] = ()) -> None:
        try:
            self._server = Server((host, port), serving, names)
        except OSError as error:
            raise SettingsError(_refused(host, port, error)) from None
        self.url = f"http://{authority(host, self._server.server_address[1])}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop taking requests."""
        self._server.shutdown()
        self._server.server_close()


def open_endpoint(host: str, port: int, serving: Serving, kept: Path, names: Collection[str] = ()) -> Endpoint:
    """Listen; with port 0, on the port of the last run if that is free.

    Args:
        host: the address.
        port: 0 for any free one.
        serving: answers the requests.
        kept: the file with the last run's URL.
        names: as for `Endpoint`.

    Raises:
        SettingsError: it cannot listen there.
    """
    last = _port_in(kept, host) if port == 0 else None
    if last is not None:
        try:
            return Endpoint(host, last, serving, names)
        except SettingsError:
            log.warning("%s, the address of the last run, is taken: taking another port", authority(host, last))
    return Endpoint(host, port, serving, names)


def _port_in(kept: Path, host: str) -> int | None:
    try:
        url = urlsplit(kept.read_text())
        return url.port if url.hostname == host.lower() else None
    except (OSError, ValueError):
        return None


def _refused(host: str, port: int, error: OSError) -> str:
    where = authority(host, port)
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken by another program: stop it, or choose another address with --http HOST:PORT"
    return f"cannot listen on {where} ({error.strerror or error}): choose another address with --http HOST:PORT"
