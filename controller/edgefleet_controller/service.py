"""The controller as a whole: every part opened in order, and closed in the reverse."""

import json
import logging
import os
import shutil
from collections import Counter

from edgefleet_compression.builds.worker_pool import Limits, WorkerPool, fair_memory_mb
from edgefleet_controller.access import open_access, refuse_strangers
from edgefleet_controller.clock import not_before, now_ms
from edgefleet_controller.delivery.blob_checks import advice, first_damaged
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.delivery.pacer import Pacer
from edgefleet_controller.errors import NotFound, Refused
from edgefleet_controller.fleet.broker_restart import BrokerRestart
from edgefleet_controller.fleet.bus import Bus
from edgefleet_controller.fleet.desired_publisher import DesiredPublisher
from edgefleet_controller.fleet.ingest import Ingest
from edgefleet_controller.fleet.presence_sweep import PresenceSweep
from edgefleet_controller.housekeeping import Housekeeping, Retention
from edgefleet_controller.models.operations import Operations
from edgefleet_controller.models.workshop import Folders
from edgefleet_controller.rollouts.conductor import Conductor
from edgefleet_controller.rollouts.joiners import LateJoiners
from edgefleet_controller.settings import Settings
from edgefleet_controller.store import Store
from edgefleet_process.durable import replace_file
from edgefleet_process.locks import own_folder
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol.chunks import SMALL_BLOB_CHUNK_BYTES, Bitmap, chunk_count
from edgefleet_protocol.errors import MalformedMessage, ProtocolError
from edgefleet_protocol.manifest import verify
from edgefleet_protocol.messages import ChunkRequest
from edgefleet_protocol.phases import Phase

log = logging.getLogger(__name__)

BEFORE_VERIFIED: tuple[Phase, ...] = ("assigned", "notified", "downloading")
"""Phases in which a device may still have to fetch something."""


class Service:
    """One controller; exactly one process owns a state folder.

    Raises:
        StateInUse: another controller owns it.
        CredentialsError: other machines could reach it, and there are no credentials.
    """

    def __init__(self, settings: Settings) -> None:
        refuse_strangers(settings)
        settings.state.mkdir(parents=True, exist_ok=True)
        self._lock = own_folder(settings.state, "controller", "controller.lock")
        self.settings = settings
        self.catalogue = load_catalogue(settings.profiles)
        self.store = Store(settings.state)
        not_before(self.store.newest_ms())
        self.blobs = BlobFolder(settings.state / "blobs")
        self.access = open_access(settings)
        self.broker, self.broker_url = self.access.broker, self.access.url
        self._broker_restart = BrokerRestart()
        self.bus = Bus(
            self.access.local_url,
            on_message=self._hear,
            on_subscribed=self._subscribed,
            login=self.access.login,
            ca_file=self.access.ca_file,
        )
        self.desired = DesiredPublisher(self.store, self.bus)
        self.presence_sweep = PresenceSweep(self.store.devices, settings.hello_jitter_s)
        self.pacer = Pacer(self.bus, self._open_chunk)
        self.ingest = Ingest(
            self.store, self.desired, self._want, accept_all=settings.accept_all, conflict_s=settings.conflict_s
        )
        self.conductor = Conductor(
            self.store,
            self.desired.desire,
            LateJoiners(self.store, self.catalogue),
            tick_s=settings.tick_s,
            each_tick=self._each_tick,
            connected=lambda: self.bus.connected,
        )
        folders = _folders(settings)
        self.operations = Operations(self.store, self.blobs, folders, _workers(settings))
        kept = Retention(windows_h=settings.telemetry_keep_h, rollups_days=settings.rollups_keep_days)
        self.housekeeping = Housekeeping(self.store, self.blobs, (folders.cache, folders.work), kept)

    def start(self) -> None:
        """Begin to listen, to send and to decide."""
        self.operations.start()
        self.ingest.start()
        self.pacer.start()
        self.bus.start()
        self.conductor.start()
        self.housekeeping.start()

    def stop(self) -> None:
        """End everything, the embedded broker included."""
        self.housekeeping.stop()
        self.conductor.stop()
        self.operations.stop()
        self.pacer.stop()
        self.bus.stop()
        self.ingest.stop()
        if self.broker:
            self.broker.stop()
        self.store.close()
        self._lock.close()

    def announce(self, api_url: str) -> None:
        """Write down where this controller is reached, for the commands of the same machine."""
        where = {"api": api_url, "broker": self.access.local_url, "pid": os.getpid()}
        replace_file(self.settings.state / "controller.json", json.dumps(where).encode())

    def stop_delivery(self, manifest: str) -> None:
        """Stop sending what a manifest names; whoever still wants it asks again."""
        self.pacer.drop(manifest)
        try:
            found = verify(self.blobs.read(manifest), manifest)
        except (NotFound, ProtocolError):
            log.warning("manifest %s is not there or damaged: its encodings cannot be stopped by name", manifest)
            return
        for encoding in found.encodings:
            self.pacer.drop(encoding.blob.sha256)

    def check_blobs(self, model: str, version: int) -> None:
        """See that all that devices would fetch of a model version is whole, before any of them is told.

        Raises:
            Refused: a blob is damaged on disk.
        """
        registry = self.store.registry
        chosen = {choice.variant for choice in registry.choices(model, version)}

        def damaged(name: str) -> bool:
            return registry.deliverable_bytes(name) is not None and not self.blobs.is_whole(name)

        for variant in registry.variants(model, version):
            if variant.id in chosen and (blob := first_damaged(self.blobs, variant.manifest, damaged)):
                raise Refused(advice(blob, model, version))

    def damaged_blobs(self) -> frozenset[str]:
        """Blobs that devices asked for and that cannot be sent as they stand on disk."""
        deliverable = self.store.registry.deliverable_bytes
        return frozenset(blob for blob in self.blobs.damaged if deliverable(blob) is not None)

    def delivered_bytes(self) -> dict[str, int]:
        """What was broadcast since the start, in bytes, by channel."""
        channels: Counter[str] = Counter()
        for (channel, _), size_bytes in self.pacer.bytes_sent().items():
            channels[channel] += size_bytes
        return dict(channels)

    def _hear(self, topic: str, data: bytes) -> None:
        self.ingest.offer(topic, data)

    def _subscribed(self) -> None:
        self.presence_sweep.asked(now_ms())
        self.desired.hello(self.settings.hello_jitter_s)

    def _each_tick(self) -> None:
        self.presence_sweep.tick(now_ms(), self.bus.connected)
        if self.broker:
            if self._broker_restart.is_over(shutil.disk_usage(self.settings.state).free):
                log.warning("the disk was full: the broker is started again, since it would not write again by itself")
                self.broker.stop()
            self.broker.ensure_running()
        if damaged := self.damaged_blobs():
            self._hold_undeliverable(damaged)

    def _hold_undeliverable(self, damaged: frozenset[str]) -> None:
        """Pause rollouts whose devices wait for a blob that cannot be sent: waiting would decide nothing."""
        for rollout in self.store.rollouts.all("running"):
            waiting = {
                e.manifest
                for e in self.store.rollouts.executions(rollout.id)
                if e.manifest and e.generation is not None and e.phase in BEFORE_VERIFIED
            }
            found = (first_damaged(self.blobs, manifest, damaged.__contains__) for manifest in sorted(waiting))
            if blob := next(filter(None, found), None):
                self.conductor.halt(
                    rollout.id, f"{advice(blob, rollout.spec.model, rollout.spec.version)}, then resume"
                )

    def _want(self, request: ChunkRequest) -> None:
        """Queue what a device misses on its channel, if it is a blob for devices and the request fits it.

        Raises:
            MalformedMessage: no such blob or channel, or a bitmap of another size.
        """
        size_bytes = self.store.registry.deliverable_bytes(request.blob)
        link = self.catalogue.link.get(request.lane)
        if size_bytes is None or link is None:
            raise MalformedMessage(f"no blob {request.blob} for devices, or no link '{request.lane}'")
        # Frames carry no chunk size: two sizes of one blob on one channel would be noise to each other's listeners.
        sizes = (SMALL_BLOB_CHUNK_BYTES, link.chunk_bytes)
        if request.chunk_bytes not in sizes or request.chunks != chunk_count(size_bytes, request.chunk_bytes):
            raise MalformedMessage(
                f"{request.chunks} chunks of {request.chunk_bytes} bytes are not {request.blob} on '{request.lane}'"
            )
        self.pacer.want(
            channel=request.lane,
            rate_kbps=link.down_kbps,
            blob=request.blob,
            chunk_bytes=request.chunk_bytes,
            chunks=request.chunks,
            missing=Bitmap.from_text(request.chunks, request.missing),
            size_bytes=size_bytes,
        )

    def _open_chunk(self, blob: str, index: int, chunk_bytes: int) -> bytes | None:
        return self.blobs.read_chunk(blob, index, chunk_bytes)


def _folders(settings: Settings) -> Folders:
    return Folders(cache=settings.state / "cache", work=settings.state / "work", searches=settings.state / "searches")


def _workers(settings: Settings) -> WorkerPool:
    memory_mb = settings.build_mb or fair_memory_mb(settings.build_workers)
    return WorkerPool(settings.build_workers, Limits(settings.build_s, memory_mb))
