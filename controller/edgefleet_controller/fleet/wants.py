"""Which blobs a device may ask for, and on which channel: those of the variants that it was told of, and its own."""

from collections.abc import Callable
from functools import lru_cache

from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import NotFound
from edgefleet_controller.store import FleetStore
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.manifest import verify
from edgefleet_protocol.messages import ChunkRequest

MAX_MANIFESTS = 1_000

Allowed = Callable[[str, ChunkRequest], bool]
"""Whether a device may ask for this."""


class AllowedWants:
    """Looks up what each device was told.

    Without this, one device could have chunks sent on every channel: a short want makes a long answer, and on the
    channels of others.

    Args:
        fleet: knows what each device is and should run.
        blobs: has the manifests.
    """

    def __init__(self, fleet: FleetStore, blobs: BlobFolder) -> None:
        self._fleet, self._blobs = fleet, blobs
        self._named_by = lru_cache(MAX_MANIFESTS)(self._read)

    def allows(self, device: str, request: ChunkRequest) -> bool:
        """Whether the blob belongs to a variant that the device was told of, and the channel is the device's link."""
        member = next(iter(self._fleet.members.some([device])), None)
        if member is None or member.profile.rpartition("/")[2] != request.lane:
            return False
        told = {record.manifest for record in self._fleet.desired.of(device) if record.manifest}
        return request.blob in told or any(request.blob in self._blobs_of(manifest) for manifest in told)

    def _blobs_of(self, manifest: str) -> frozenset[str]:
        try:
            return self._named_by(manifest)
        except (NotFound, OSError, ProtocolError):
            return frozenset()  # what is damaged is not remembered: it may be mended

    def _read(self, manifest: str) -> frozenset[str]:
        found = verify(self._blobs.read(manifest), manifest)
        encodings = (ref for encoding in found.encodings for ref in (encoding.chunk_hashes, encoding.blob))
        return frozenset(ref.sha256 for ref in (*found.tested_with, *encodings))
