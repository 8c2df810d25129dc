"""Makes the connection to a controller, with what the environment says of proxies and certificates."""

import os
import re
import ssl
from urllib.request import getproxies, proxy_bypass

import httpx

from edgefleet_contract.headers import REQUESTED_WITH
from edgefleet_operator.errors import Invalid

PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables of the environment that httpx obeys, in either case."""


def connect(url: str, token: str | None, timeout_s: float, transport: httpx.BaseTransport | None) -> httpx.Client:
    """Make a client of HTTP; this sends nothing yet.

    Args:
        url: the controller's URL, as `controller_url` returns it.
        token: the API's token, if it requires one.
        timeout_s: seconds of silence after which a request fails.
        transport: carries the requests; None means the network.

    Raises:
        Invalid: the token has characters that no token has, or the environment's settings can't be obeyed.
    """
    if token and not re.fullmatch("[!-~]+", token):
        raise Invalid("the token holds a space, a line break or another character that no token has: copy it again")
    headers = {REQUESTED_WITH: "edgefleet"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        return httpx.Client(base_url=url, timeout=timeout_s, headers=headers, transport=transport, verify=_trusted(url))
    except Exception as error:  # httpx lets through whatever its parts raise, whose text may hold a proxy's password
        raise Invalid(_blame(error)) from None


def controller_url(text: str) -> str:
    """Check a controller's URL, and return it without a slash at its end.

    Raises:
        Invalid: it is not an HTTP URL, or holds a password.
    """
    try:
        url = httpx.URL(text)
        text.encode()  # httpx takes a lone surrogate, and fails when it sends the first request
        if url.userinfo:
            fault = "a name or password in it would not be obeyed: give the API's token instead"
        elif url.scheme in ("http", "https") and url.host:
            return text.rstrip("/")
        else:
            fault = "it must begin with http:// or https:// and name a host"
    except (httpx.InvalidURL, UnicodeError) as error:
        fault = str(error)
    shown = re.sub(r"//.*@", "//***@", text, flags=re.DOTALL)[:200]
    raise Invalid(f"{shown!r} is not a controller's URL: {fault}")


def way_to(url: str) -> str:
    """Describe the way to a URL where the environment puts a proxy in between; without one, return an empty string."""
    parsed = httpx.URL(url)
    proxies = getproxies()
    kind = next((kind for kind in (parsed.scheme, "all") if kind in proxies), None)
    if kind is None or proxy_bypass(parsed.host):
        return ""
    return f" through the proxy in {kind.upper()}_PROXY; to go around it, add {parsed.host} to NO_PROXY"


def _trusted(url: str) -> ssl.SSLContext | bool:
    """The usual authorities, or none where no certificate can come: to read them takes longer than most requests."""
    told = {name.upper() for name in os.environ} & {*PROXIES, *CERTIFICATES}
    plain = url.startswith("http:") and not told and not getproxies()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True


def _blame(error: Exception) -> str:
    suspects = CERTIFICATES if isinstance(error, OSError) else PROXIES
    names = ", ".join(sorted(name for name in os.environ if name.upper() in suspects)) or "default settings"
    advice = "pip install 'httpx[socks]'" if isinstance(error, ImportError) else "correct or unset it"
    why = error.strerror if isinstance(error, OSError) else ""
    why = "a package is missing" if isinstance(error, ImportError) else why
    # Other texts may hold a password of a proxy.
    return f"no connection can be made with the environment's {names}{f' ({why})' if why else ''}: {advice}"
