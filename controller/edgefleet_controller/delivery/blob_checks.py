"""Whether what a manifest names can be delivered: one damaged blob, and no device could finish."""

from collections.abc import Callable

from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import NotFound
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.manifest import verify


def first_damaged(blobs: BlobFolder, manifest: str, damaged: Callable[[str], bool]) -> str | None:
    """The first blob of a variant that no device would get; None when all of them are sound.

    Args:
        blobs: where they stand.
        manifest: the digest of the variant's manifest.
        damaged: whether a blob is known, or is found, to be damaged or gone.
    """
    if damaged(manifest):
        return manifest
    try:
        found = verify(blobs.read(manifest), manifest)
    except NotFound:
        return None  # removed with what named it; what should be here and is not, `damaged` has told
    except (OSError, ProtocolError):
        return manifest
    named = [ref for e in found.encodings for ref in (e.chunk_hashes, e.blob)]
    needed = [found.core.golden, *named] if found.core.golden else named
    return next((ref.sha256 for ref in needed if ref and damaged(ref.sha256)), None)


def advice(blob: str, model: str, version: int) -> str:
    """What is wrong with a blob and what to do, in one line."""
    ref = f"{model}@{version}"
    return f"blob {blob} of {ref} is damaged on the controller's disk: `edgefleet compress {ref}` writes it again"
