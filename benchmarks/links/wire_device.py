"""A device on the wire alone: the agent's own download and fetcher, and no model that runs."""

import random
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from benchmarks.links.light_mqtt import Confirmed, Heard, LightConnection, WireBroker
from edgefleet_agent.download import Download
from edgefleet_agent.errors import Rejected
from edgefleet_agent.fetch import Fetcher
from edgefleet_agent.measured_link import MeasuredLink
from edgefleet_agent.slots import Slots
from edgefleet_profiles.parts import Link
from edgefleet_protocol import topics
from edgefleet_protocol.features import CREDIT, FEATURES
from edgefleet_protocol.manifest import BlobRef, Manifest, verify
from edgefleet_protocol.messages import (
    Attempt,
    ChunkRequest,
    DesiredModel,
    DesiredState,
    Facts,
    Hello,
    Presence,
    ReportedModel,
    ReportedState,
    Slot,
    decode,
    encode,
)
from edgefleet_protocol.phases import Phase

STALL_S, HEARTBEAT_S, PING_S = 3600.0, 60.0, 25.0
LONGEST_PAUSE_S = 4.0
"""Before a lost connection is renewed: a random time of at most this."""


@dataclass
class Score:
    """What one device has lived through for the newest order, on the monotonic clock.

    Attributes:
        heard_bytes: of frames on the topics of blobs, wanted or not, since the device joined.
        needed_bytes: everything that it had to fetch.
        cuts: how often the broker ended its connection.
    """

    device: str
    generation: int = 0
    told_s: float | None = None
    fetched_s: float | None = None
    switched_s: float | None = None
    heard_bytes: int = 0
    needed_bytes: int = 0
    wants: int = 0
    cuts: int = 0
    refused: str | None = None


class WireDevice:
    """One device: joins, fetches what it is told, says that it is staged, and switches in name.

    Args:
        name: its id.
        profile: `region/hardware/link`.
        link: the catalogue's entry of that link.
        broker: where it connects.
        folder: where its download goes.
    """

    def __init__(self, name: str, profile: str, link: Link, broker: WireBroker, folder: Path) -> None:
        self.score, self._profile = Score(name), profile
        folder.mkdir()
        self._folder, self._slots = folder, Slots(folder)
        self._incarnation = sha256(name.encode()).hexdigest()[:32]
        self._reports, self._report_at_s, self._ping_at_s = 0, 0.0, 0.0
        self._reported = ReportedModel()
        self._model, self._asked = "", DesiredModel(generation=1)
        self._download: Download | None = None
        self._manifest: Manifest | None = None
        self._subscribing: dict[int, str] = {}
        self._broker, self._connect_at_s = broker, 0.0
        self.connection: LightConnection | None = None
        self._link = MeasuredLink(folder, link)
        self._fetcher = Fetcher(self, link.name, STALL_S, flow=self._link.flow)
        self._connect()

    def _connect(self) -> None:
        self.connection = LightConnection(self._broker, f"{self.score.device}-wire")
        self._subscribing.clear()
        self.connection.subscribe(topics.desired(self.score.device), topics.acked(self.score.device), topics.HELLO)
        self._publish("presence", Presence(online=True, incarnation=self._incarnation, boot=1))
        self._report_at_s, self._ping_at_s = 0.0, time.monotonic() + PING_S
        self._fetcher.connected()

    def lost(self) -> None:
        """The broker has ended the connection: another one follows after a pause."""
        self.score.cuts += 1
        if self.connection:
            self.connection.close()
        self.connection = None
        self._connect_at_s = time.monotonic() + random.uniform(0, LONGEST_PAUSE_S)
        self._fetcher.disconnected()

    # ---- the fetcher's wire ------------------------------------------------------------------------------------------

    def listen(self, topic: str) -> None:
        """Subscribe."""
        if self.connection:
            self._subscribing[self.connection.subscribe(topic)] = topic

    def leave(self, topic: str) -> None:
        """Unsubscribe."""
        if self.connection:
            self.connection.unsubscribe(topic)

    def want(self, request: ChunkRequest) -> None:
        """Ask."""
        self._publish("want", request, qos=0)

    # ---- events ------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Act on what has been received."""
        for event in self.connection.read() if self.connection else ():
            if isinstance(event, Confirmed):
                if topic := self._subscribing.pop(event.number, None):
                    self._fetcher.listening(topic)
            elif event.topic == topics.HELLO:
                hello = decode(Hello, event.payload)
                self._fetcher.give_credit(CREDIT in hello.features)
                self._fetcher.hello(hello.jitter_s)
                self._report_at_s = time.monotonic()
            elif event.topic == topics.desired(self.score.device):
                self._desired(event)
            elif event.topic.startswith(f"{topics.ROOT}/blobs/"):
                self.score.heard_bytes += len(event.payload)
                self._fetcher.chunk(event.topic, event.payload, event.arrived_s)

    def tick(self) -> float:
        """Do what is due; when it is due again, on the monotonic clock.

        Raises:
            OSError: as `read`.
        """
        now_s = time.monotonic()
        if self.connection is None:
            if now_s < self._connect_at_s:
                return self._connect_at_s
            self._connect()
        assert self.connection
        if now_s >= self._report_at_s:
            self._report()
        if now_s >= self._ping_at_s:
            self.connection.ping()
            self._ping_at_s = now_s + PING_S
        return min(self._fetcher.tick(), self._report_at_s, self._ping_at_s)

    def _desired(self, message: Heard) -> None:
        if not message.payload:
            return
        told = decode(DesiredState, message.payload)
        self._fetcher.give_credit(CREDIT in told.features)
        for model, asked in told.models.items():
            newer = asked.generation > self._reported.generation
            if newer and asked.manifest:
                self._fetch(model, asked, asked.manifest)
            elif asked.generation == self._reported.generation and asked.activate and not self._asked.activate:
                self._asked = asked
                self._switch()

    def _fetch(self, model: str, asked: DesiredModel, manifest: str) -> None:
        if self._download:
            self._download.stop()
        self._model, self._asked = model, asked
        self.score.generation, self.score.told_s = asked.generation, time.monotonic()
        self.score.fetched_s = self.score.switched_s = None
        self._told("downloading")
        ref = BlobRef(sha256=manifest, size_bytes=asked.manifest_bytes)
        download = self._download = Download(self._folder / "downloads", ref, self._fetcher, at_once=True)

        def rest(data: bytes) -> None:
            self._manifest = found = verify(data, manifest)
            full = found.encoding_for(self._link.max_chunk_bytes)
            assert full, "every variant has a full encoding"
            download.fetch_rest(found, full, self._slots, self._fetched, self._refused)

        download.fetch_manifest(rest, self._refused)

    def _fetched(self) -> None:
        assert self._download and self._manifest
        self.score.fetched_s = time.monotonic()
        transfer = self._download.transfer
        self.score.needed_bytes, self.score.wants = transfer.bytes_total, transfer.wants
        self._download.stop()
        self._told("staged")
        if self._asked.activate:
            self._switch()

    def _switch(self) -> None:
        if self.score.fetched_s is None or self._manifest is None or self._asked.manifest is None:
            return
        self.score.switched_s = time.monotonic()
        slot = Slot(
            variant=self._manifest.variant,
            manifest=self._asked.manifest,
            model_version=self._manifest.model_version,
            generation=self._asked.generation,
        )
        self._told("committed", slot)

    def _refused(self, why: Rejected) -> None:
        self.score.refused = str(why)
        self._told("rejected")

    # ---- what it says ------------------------------------------------------------------------------------------------

    def _told(self, phase: Phase, answering: Slot | None = None) -> None:
        asked, download = self._asked, self._download
        attempt = Attempt(
            generation=asked.generation,
            rollout=asked.rollout,
            manifest=asked.manifest,
            variant=self._manifest.variant if self._manifest else None,
            phase=phase,
        )
        if download and phase != "downloading":
            attempt = attempt.model_copy(update={"transfer": download.transfer})
        answering = answering or self._reported.answering
        self._reported = ReportedModel(
            generation=asked.generation,
            answering=answering,
            committed=answering,
            slots=(answering,) if answering else (),
            attempt=attempt,
        )
        self._report()

    def _report(self) -> None:
        self._reports += 1
        self._report_at_s = time.monotonic() + HEARTBEAT_S
        region, hardware, link = self._profile.split("/")
        facts = Facts(
            hardware=hardware,
            region=region,
            link=link,
            arch="aarch64",
            isa=frozenset({"asimd", "fp", "crc32"}),
            cores=4,
            ram_mb=4096,
            storage_mb=32_000,
            providers=("CPUExecutionProvider",),
            onnxruntime="1.30.0",
        )
        state = ReportedState(
            incarnation=self._incarnation,
            boot=1,
            report=self._reports,
            agent_version="0.2.0",
            features=FEATURES,
            sent_ms=time.time_ns() // 1_000_000,
            clock_trusted=True,
            facts=facts,
            models={self._model: self._reported} if self._model else {},
            measured_kbps=self._link.flow.measured_kbps,
        )
        self._publish("reported", state)

    def _publish(self, kind: topics.UpKind, message: Presence | ReportedState | ChunkRequest, qos: int = 1) -> None:
        if self.connection:
            self.connection.publish(topics.up(self.score.device, kind), encode(message), qos)
