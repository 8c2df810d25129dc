"""One process that fetches a blob: over MQTT with the agent's own bus, fetcher and sink, or over HTTP.

What an agent does around it (reports, telemetry, models) is left out: fifty whole agents are more than one small
machine can run at once.
"""

import time
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from pathlib import Path

from edgefleet_agent.bus import AgentBus
from edgefleet_agent.errors import Rejected
from edgefleet_agent.events import Connected, Disconnected, Inbox, InboxEvent, Received, Subscribed
from edgefleet_agent.fetch import Fetcher
from edgefleet_agent.flow import Flow
from edgefleet_agent.settings import BrokerSettings
from edgefleet_agent.sinks import FileSink
from edgefleet_protocol.broker_address import BrokerAddress
from edgefleet_protocol.manifest import BlobRef, Encoding
from edgefleet_protocol.messages import Presence

STALL_S = 60.0
READ_BYTES = 64 * 1024


@dataclass(frozen=True)
class WantedBlob:
    """A blob to fetch; with `http_port` over HTTP, else as an encoding whose chunk hashes are these."""

    sha256: str
    size_bytes: int
    chunk_bytes: int
    hashes: bytes
    http_port: int | None = None


@dataclass(frozen=True)
class Fetched:
    """Whether the right bytes are on the disk, since when on the monotonic clock, and how often they were asked for."""

    whole: bool
    at_s: float
    wants: int


class BlobListener:
    """One device's connection and fetcher, and the loop that drives them."""

    def __init__(self, port: int, device: str, channel: str, kbps: float) -> None:
        self._inbox = Inbox()
        presence = Presence(online=True, incarnation="0" * 32, boot=1)
        broker = BrokerSettings(addresses=(BrokerAddress("127.0.0.1", port, tls=False),))
        self._bus = AgentBus(broker, device, presence, 60.0, self._inbox)
        self._fetcher = Fetcher(self._bus, channel, STALL_S, flow=Flow(kbps))
        self._fetcher.give_credit(True)
        self._bus.start()
        while not isinstance(event := self._inbox.get(1.0), Subscribed):
            self._take(event)
        self._take(event)

    def fetch(self, wanted: WantedBlob, path: Path) -> int:
        """Fetch a blob to `path`; how often it was asked for.

        Raises:
            Refused: it did not come.
        """
        blob = BlobRef(sha256=wanted.sha256, size_bytes=wanted.size_bytes)
        hashes = BlobRef(sha256=sha256(wanted.hashes).hexdigest(), size_bytes=len(wanted.hashes))
        encoding = Encoding(kind="zstd", blob=blob, chunk_bytes=wanted.chunk_bytes, chunk_hashes=hashes)
        sink = FileSink(path, encoding, wanted.hashes, time.monotonic())
        ends: list[Rejected | None] = []
        self._fetcher.start(sink, lambda: ends.append(None), ends.append)
        while not ends:
            left_s = self._fetcher.tick() - time.monotonic()
            self._take(self._inbox.get(min(0.5, left_s)))
        sink.close()
        if ends[0] is not None:
            raise ends[0]
        return sink.wants

    def _take(self, event: InboxEvent | None) -> None:
        match event:
            case Received():
                self._fetcher.chunk(event.topic, event.data, event.arrived_s)
            case Subscribed():
                for topic in self._bus.confirmed(event):
                    self._fetcher.listening(topic)
            case Connected():
                self._fetcher.connected()
            case Disconnected():
                self._fetcher.disconnected()


def listen(port: int, device: str, channel: str, kbps: float, folder: Path, orders: Connection) -> None:
    """The process: fetches what it is told, until it is told None."""
    listener = BlobListener(port, device, channel, kbps)
    orders.send("ready")
    path = folder / device
    while (wanted := orders.recv()) is not None:
        wants = 0
        if wanted.http_port:
            _download(wanted, path)
        else:
            wants = listener.fetch(wanted, path)
        whole = sha256(path.read_bytes()).hexdigest() == wanted.sha256
        orders.send(Fetched(whole, time.monotonic(), wants))
        for left in folder.glob(f"{device}*"):
            left.unlink()


def _download(wanted: WantedBlob, path: Path) -> None:
    connection = HTTPConnection("127.0.0.1", wanted.http_port, timeout=STALL_S)
    connection.request("GET", f"/{wanted.sha256}")
    answer = connection.getresponse()
    with path.open("wb") as file:
        while data := answer.read(READ_BYTES):
            file.write(data)
    connection.close()
