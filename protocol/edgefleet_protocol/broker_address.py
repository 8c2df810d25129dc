"""The addresses of MQTT brokers, as both sides write them: mqtt://HOST:PORT or mqtts://HOST:PORT, with commas between.

They lead to the same bus, and are tried in order. Pure.
"""

from collections.abc import Sequence
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

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


class BrokerOrder:
    """Which address is tried next, and how often all of them failed in a row.

    After a loss the first is tried again: their order is the operator's preference, and a fleet that lost a broker
    gathers at one. One that failed, or fell silent, is left for the one after it.
    """

    def __init__(self, addresses: Sequence[BrokerAddress]) -> None:
        self._addresses = tuple(addresses)
        self._at = self._failures = 0

    @property
    def address(self) -> BrokerAddress:
        """The one to try now."""
        return self._addresses[self._at]

    @property
    def rounds(self) -> int:
        """How often every address failed in a row, for the pause before the next attempt."""
        return self._failures // len(self._addresses)

    def ended(self, *, steady: bool, silent: bool = False) -> None:
        """An attempt or a connection at `address` is over.

        Args:
            steady: it lasted, and so did not fail.
            silent: it was given up because nothing was heard.
        """
        self._failures = 0 if steady else self._failures + 1
        self._at = 0 if steady and not silent else (self._at + 1) % len(self._addresses)


def parse_brokers(text: str) -> tuple[BrokerAddress, ...]:
    """Parse the addresses of brokers with commas between, in the order in which they are tried.

    Raises:
        NotABroker: one of them is none, or is named twice.
    """
    found = tuple(parse_broker(part.strip()) for part in text.split(","))
    if twice := next((one for one in found if found.count(one) > 1), None):
        raise NotABroker(f"the broker {twice} is named twice: name each once, in the order to try them")
    return found


def parse_broker(text: str) -> BrokerAddress:
    """Parse a broker's address; a part that would not be obeyed is refused.

    Raises:
        NotABroker: it is something else, or says more than host and port; its password is not in the message.
    """
    try:
        url = urlsplit(text)
        port = url.port
        (url.hostname or "").encode("idna")  # a resolver would fail with more than an OSError
    except ValueError:  # UnicodeError, too
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
