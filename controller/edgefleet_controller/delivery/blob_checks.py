"""Whether the blobs of a variant can be delivered: a single damaged one would stop every device."""

from collections.abc import Callable

from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import NotFound
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.manifest import verify


def first_damaged(blobs: BlobFolder, manifest: str, damaged: Callable[[str], bool]) -> str | None:
    """The first damaged or missing blob of a variant; None if all are sound.

    Args:
        blobs: the blobs on disk.
        manifest: the digest of the variant's manifest.
        damaged: whether a blob is damaged or missing.
    """
    if damaged(manifest):
        return manifest
    try:
        found = verify(blobs.read(manifest), manifest)
    except NotFound:
        return None  # removed together with its variant; a blob that should be here has failed `damaged`
    except (OSError, ProtocolError):
        return manifest
    needed = [*found.tested_with, *(ref for e in found.encodings for ref in (e.chunk_hashes, e.blob))]
    return next((ref.sha256 for ref in needed if damaged(ref.sha256)), None)


def advice(blob: str, model: str, version: int) -> str:
    """One line that says that a blob is damaged, and what to do."""
    ref = f"{model}@{version}"
    return f"blob {blob} of {ref} is damaged on the controller's disk: run `edgefleet compress {ref}` to write it again"
