"""The address of an MQTT broker, as both sides write it: mqtt://HOST:PORT or mqtts://HOST:PORT."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from edgefleet_protocol.errors import NotABroker

PORTS = {"mqtt": 1883, "mqtts": 8883}
"""Of each scheme, where an address names none."""
FORM = "write mqtt://HOST:PORT or mqtts://HOST:PORT"


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker listens, and whether it expects TLS."""

    host: str
    port: int
    tls: bool


def parse_broker(text: str) -> BrokerAddress:
    """Parse a broker's address; a part that would not be obeyed is refused.

    Raises:
        NotABroker: it is something else, or says more than host and port; its password is not in the message.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise NotABroker(f"'{_shown(text)}' is not a broker's address: {FORM}") from None
    if url.username is not None or url.password is not None:
        advice = "the user and the password are settings of their own"
        raise NotABroker(f"'{_shown(text)}' is not a broker's address: {FORM}; {advice}")
    blank = any(character.isspace() or not character.isprintable() for character in text)  # urlsplit drops some
    beyond = url.path.strip("/") or url.query or url.fragment
    if blank or beyond or url.scheme not in PORTS or not url.hostname or port == 0:
        raise NotABroker(f"'{_shown(text)}' is not a broker's address: {FORM}")
    return BrokerAddress(url.hostname, port or PORTS[url.scheme], url.scheme == "mqtts")


def _shown(text: str) -> str:
    """The text without what may be a password."""
    scheme, mark, rest = text.partition("://")
    return f"{scheme}{mark}***@{rest.rpartition('@')[2]}" if "@" in rest else text
