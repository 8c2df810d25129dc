"""The API's port: chosen once, and kept, so that its URL survives a restart."""

import errno
import socket
from pathlib import Path

from edgefleet_controller.errors import ControllerError
from edgefleet_process.durable import replace_file

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
"""What to connect to from this machine, where a server listens on all addresses."""


class CannotListen(ControllerError):  # noqa: N818 - reads as the statement it makes
    """The API cannot listen where it should."""


def listen(host: str, port: int, kept: Path) -> socket.socket:
    """Open the socket on which the API listens.

    Args:
        host: an IP address.
        port: 0 means the kept one, or a free one if none was kept.
        kept: the file that keeps the port.

    Raises:
        CannotListen: the port is taken, or the address isn't this machine's; says what to do.
    """
    wanted = port or _kept_port(kept)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is given; it would delay each small answer by 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, wanted))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise CannotListen(f"the API cannot listen on {in_url(host)}:{wanted}: {error.strerror}") from None
        advice = "give another --port" if port else f"delete {kept} to choose a new one"
        raise CannotListen(
            f"port {wanted} is taken by another program, and the API needs it: stop that program, or {advice}"
        ) from None
    replace_file(kept, str(listener.getsockname()[1]).encode())
    return listener


def local_url(listener: socket.socket) -> str:
    """The URL of the API for programs on this machine."""
    host, port = listener.getsockname()[:2]
    return f"http://{in_url(WILDCARDS.get(host, host))}:{port}"


def _kept_port(file: Path) -> int:
    try:
        port = int(file.read_text())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError):
        port = 0
    if 0 < port <= 65_535:
        return port
    raise CannotListen(f"{file} holds no port: write the API's port into it, or delete it to choose a new one")


def in_url(host: str) -> str:
    """The address as a URL has it: an IPv6 one in brackets."""
    return f"[{host}]" if ":" in host else host
