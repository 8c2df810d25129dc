"""Tells what a page from elsewhere makes a browser send, so that a server without passwords can refuse it.

A page may make its reader's browser ask a server on the reader's own machine: under the page's name, once that name
leads to this machine (DNS rebinding), or from the page itself (cross-site). The first shows in Host, the second in
Origin, which a browser sends with every POST; programs send what they were told, or nothing.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

LOCALHOST = "localhost"
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@\s]+))(?::[0-9]{1,5})?")


def foreign(host: str | None, origin: str | None, names: Collection[str] | None) -> str | None:
    """Say why a request may come from a foreign page; None if it does not.

    Args:
        host: its Host header, if it has one.
        origin: its Origin header, if it has one.
        names: in lower case, what the server is called beside localhost and its IP addresses; an address needs no
            name, so that no name can be made to lead to it. None: any name will do, as requests bring a secret.
    """
    if names is not None and host is not None and not _is_address(host):
        name = _name(host)
        if name != LOCALHOST and name not in names:
            return f"this server is not called '{name[:100]}'"
    if origin is not None and not same_site(host, origin):
        return f"a page of '{origin[:100]}' may not ask this server"
    return None


def same_site(host: str | None, origin: str) -> bool:
    """Whether a page of this server itself made the browser send the request."""
    try:
        return host is not None and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    found = _HOST.fullmatch(host)
    try:
        return found is not None and bool(ip_address(found[1] or found[2]))
    except ValueError:
        return False


def _name(host: str) -> str:
    found = _HOST.fullmatch(host)
    return (found[2] or host if found else host).lower().removesuffix(".")
