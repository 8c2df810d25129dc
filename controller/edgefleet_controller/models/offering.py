"""Judges files before they are uploaded: one that cannot be taken costs no transfer, nor one that is here already."""

import shutil
from collections.abc import Callable
from pathlib import Path

from edgefleet_contract.uploads import UploadOffer, UploadVerdict, refusal
from edgefleet_controller.delivery.blobs import BlobFolder
from edgefleet_controller.errors import DiskFull, Invalid
from edgefleet_controller.store import FleetStore

LEFT_BYTES = 16 * 2**20
"""What must stay free for the store and the broker."""
COPIES: dict[str, int] = {"onnx": 2}
"""How often a file is on the disk once it is registered and delivered as it is: as uploaded, and as encoded. By kind; 1
for any other."""


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def judge_offer(
    fleet: FleetStore,
    blobs: BlobFolder,
    sha256: str,
    offered: UploadOffer,
    free_bytes: Callable[[Path], int] = _free_bytes,
) -> UploadVerdict:
    """Whether a file is held already; one that is held is kept until it is registered.

    Args:
        fleet: knows the files that were taken.
        blobs: the folder with them.
        sha256: the file's digest.
        offered: its kind, size and beginning.
        free_bytes: the free space on a folder's disk.

    Raises:
        Invalid: it cannot be taken.
        DiskFull: there is no room for it.
    """
    if (why := refusal(offered)) is not None:
        raise Invalid(why)
    blobs.keep([sha256])
    if fleet.registry.knows_blob(sha256) and blobs.is_whole(sha256):
        return UploadVerdict(held=True)
    needed = COPIES.get(offered.kind, 1) * offered.size_bytes + LEFT_BYTES
    if needed > (free := free_bytes(blobs.folder)):
        raise DiskFull(f"the file and what is made of it take {needed:,} bytes, {free:,} are free")
    return UploadVerdict(held=False)
