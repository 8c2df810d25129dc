"""Delivery to devices: takes wants from `ingest`, checks them, and has the pacer send chunks over the bus."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from edgefleet_controller.delivery.blob_checks import advice, first_damaged
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.delivery.channels import Want
from edgefleet_controller.delivery.pacer import ChunkSender, Pacer
from edgefleet_controller.errors import NotFound, Refused
from edgefleet_controller.records import ChoiceRecord, VariantRecord
from edgefleet_profiles.parts import Link
from edgefleet_protocol.chunks import SMALL_BLOB_CHUNK_BYTES, Bitmap, chunk_count
from edgefleet_protocol.errors import MalformedMessage, ProtocolError
from edgefleet_protocol.manifest import verify
from edgefleet_protocol.messages import ChunkRequest

log = logging.getLogger(__name__)


class Deliverables(Protocol):
    """The part of the registry that delivery needs."""

    def deliverable_bytes(self, sha256: str) -> int | None:
        """The size of a blob that devices may fetch; None for any other."""

    def choices(self, model: str, version: int) -> Sequence[ChoiceRecord]:
        """What was chosen for each profile."""

    def variants(self, model: str, version: int) -> Sequence[VariantRecord]:
        """The variants of a model version."""


class Delivery:
    """Takes what devices want, refuses what cannot be sent, and sends the rest.

    Args:
        registry: knows which blobs devices may fetch.
        blobs: the blobs on disk.
        links: the catalogue's links; each is a channel.
        bus: sends the chunks.
    """

    def __init__(self, registry: Deliverables, blobs: BlobFolder, links: Mapping[str, Link], bus: ChunkSender) -> None:
        self._registry, self._blobs, self._links = registry, blobs, links
        self._pacer = Pacer(bus, blobs)

    def start(self) -> None:
        """Start sending."""
        self._pacer.start()

    def stop(self) -> None:
        """Stop sending; devices ask again for what they still lack."""
        self._pacer.stop()

    def want(self, request: ChunkRequest, for_s: float = math.inf, device: str = "") -> None:
        """Queue what a device lacks on its channel.

        Args:
            request: what it lacks.
            device: who asks.
            for_s: for how many seconds it may be sent.

        Raises:
            MalformedMessage: devices may not fetch the blob, there is no such channel, or the chunks fit neither.
        """
        size_bytes = self._registry.deliverable_bytes(request.blob)
        link = self._links.get(request.lane)
        if size_bytes is None or link is None:
            raise MalformedMessage(f"there is no blob {request.blob} for devices, or no link '{request.lane}'")
        # Frames don't carry a chunk size: listeners could not tell two sizes of one blob apart on one channel.
        sizes = {SMALL_BLOB_CHUNK_BYTES, link.chunk_bytes}
        if request.chunk_bytes not in sizes or request.chunks != chunk_count(size_bytes, request.chunk_bytes):
            raise MalformedMessage(
                f"{request.chunks} chunks of {request.chunk_bytes} bytes don't fit {request.blob} on '{request.lane}'"
            )
        missing = Bitmap.from_text(request.chunks, request.missing)
        self._pacer.want(
            Want(
                channel=request.lane,
                rate_kbps=link.down_kbps,
                blob=request.blob,
                chunk_bytes=request.chunk_bytes,
                size_bytes=size_bytes,
                missing=missing,
                for_s=for_s,
                device=device,
                credit=request.credit,
            )
        )

    def withdraw(self, manifest: str) -> None:
        """Stop sending what a manifest names; devices that still want it ask again."""
        self._pacer.drop(manifest)
        try:
            found = verify(self._blobs.read(manifest), manifest)
        except (NotFound, ProtocolError):
            log.warning("manifest %s is missing or damaged: transfers of its encodings are not stopped", manifest)
            return
        for encoding in found.encodings:
            self._pacer.drop(encoding.blob.sha256)

    def check(self, model: str, version: int) -> None:
        """Check all blobs that devices would fetch of a model version, before any device is told.

        Raises:
            Refused: a blob is damaged on disk.
        """
        chosen = {choice.variant for choice in self._registry.choices(model, version)}
        built = (variant for variant in self._registry.variants(model, version) if variant.id in chosen)
        for form in (form for variant in built for form in variant.forms):
            if blob := first_damaged(self._blobs, form.manifest, self._is_damaged):
                raise Refused(advice(blob, model, version))

    def damaged(self) -> frozenset[str]:
        """Blobs that devices asked for and that are damaged or missing on disk."""
        deliverable = self._registry.deliverable_bytes
        return frozenset(blob for blob in self._blobs.damaged if deliverable(blob) is not None)

    def first_damaged(self, manifests: Iterable[str]) -> str | None:
        """The first blob of these variants that devices asked for and that is damaged or missing."""
        damaged = self.damaged()
        found = (first_damaged(self._blobs, manifest, damaged.__contains__) for manifest in manifests)
        return next(filter(None, found), None)

    def delivered_bytes(self) -> dict[str, int]:
        """Bytes broadcast since the start, by channel."""
        channels: Counter[str] = Counter()
        for (channel, _), size_bytes in self._pacer.bytes_sent().items():
            channels[channel] += size_bytes
        return dict(channels)

    def _is_damaged(self, blob: str) -> bool:
        return self._registry.deliverable_bytes(blob) is not None and not self._blobs.is_whole(blob)
