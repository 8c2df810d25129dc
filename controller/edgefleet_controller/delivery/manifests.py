"""Reads published manifests, and remembers them: a manifest never changes."""

from functools import lru_cache

from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import NotFound
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.manifest import Manifest, verify

MAX_MANIFESTS = 1_000


class KnownManifests:
    """The manifests among the blobs, without the answers that the oldest form has inside.

    Args:
        blobs: has the manifests.
    """

    def __init__(self, blobs: BlobFolder) -> None:
        self._blobs = blobs
        self._kept = lru_cache(MAX_MANIFESTS)(self._read)

    def find(self, digest: str) -> Manifest | None:
        """The manifest with this digest; None if it is not here, or damaged."""
        try:
            return self._kept(digest)
        except (NotFound, OSError, ProtocolError):
            return None  # what is damaged is not remembered: it may be mended

    def _read(self, digest: str) -> Manifest:
        return verify(self._blobs.read(digest), digest).model_copy(update={"expected": None})
