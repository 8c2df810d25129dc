"""Judges a manifest before anything is downloaded: whether it is the wanted one, fits this device, and has room."""

from dataclasses import dataclass

from edgefleet_agent.checks import check_manifest, check_space
from edgefleet_agent.device import Device
from edgefleet_agent.download import held_bytes_of
from edgefleet_agent.errors import NoSpace, Rejected
from edgefleet_agent.failpoints import reach
from edgefleet_agent.records import InstalledModel, slot_of
from edgefleet_agent.slots import MODEL
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.manifest import Encoding, Manifest, verify
from edgefleet_protocol.messages import Attempt, Slot


@dataclass(frozen=True)
class Judged:
    """A manifest that fits this device, the encoding to fetch, and whether its variant is on the disk already.

    `slot` is what to record of it; `renews` says whether it has all that this manifest names, and so takes it.
    """

    manifest: Manifest
    encoding: Encoding
    is_here: bool
    slot: Slot
    renews: bool


def verified(manifest_bytes: bytes, attempt: Attempt) -> Manifest:
    """The manifest of an attempt.

    Raises:
        Rejected: it isn't the wanted one, or cannot be read.
    """
    try:
        return verify(manifest_bytes, attempt.manifest or "")
    except ProtocolError as error:
        raise Rejected("manifest_invalid", str(error)) from None


def fitting(manifest: Manifest, model: str, device: Device) -> Encoding:
    """The encoding that this device picks.

    Raises:
        Rejected: the manifest doesn't fit this device.
    """
    return check_manifest(manifest, model, device.facts, device.link.max_chunk_bytes)


def judge(manifest: Manifest, model: str, record: InstalledModel, device: Device) -> Judged:
    """Judge the manifest of a record's attempt.

    Raises:
        NoSpace: there is no room for it now.
        Rejected: it doesn't fit this device.
    """
    wanted = record.attempt.manifest or ""
    encoding = fitting(manifest, model, device)
    reach("manifest_checked")
    intact = manifest.variant in record.slots and device.slots.intact(manifest.variant)
    renews = intact and device.slots.holds(manifest)
    # What answers has been tested: another form of the answers that it was tested with is not worth a download.
    is_here = renews or (intact and manifest.variant == record.answering)
    if manifest.variant != record.answering:
        device.check_room(manifest)
    if not is_here:
        fetched = None if device.slots.names(MODEL, manifest.core.onnx.sha256) else encoding
        check_space(manifest, fetched, device.free_bytes, held_bytes_of(device.downloads, wanted))
        reach("space_checked")
    slot = slot_of(manifest, record.attempt)
    if is_here:
        held = record.slots[manifest.variant]
        kept = {"ran_on": held.ran_on} if renews else {"ran_on": held.ran_on, "manifest": held.manifest}
        slot = slot.model_copy(update=kept)
    return Judged(manifest, encoding, is_here, slot, renews)


def renew(judged: Judged, manifest_bytes: bytes, device: Device) -> None:
    """Put the manifest into the slot of its variant, if that takes it.

    Raises:
        NoSpace: it cannot be written.
    """
    if judged.renews:
        try:
            device.slots.renew_manifest(judged.manifest.variant, manifest_bytes)
        except OSError as error:
            raise NoSpace(f"the manifest cannot be written: {error.strerror}") from None
