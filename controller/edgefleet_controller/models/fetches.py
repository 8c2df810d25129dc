"""How much each device of a plan has to fetch; pure."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.records import VariantRecord
from edgefleet_controller.store.contract.devices import OnDevice
from edgefleet_profiles.catalogue import Catalogue
from edgefleet_protocol.features import HELD_FILES
from edgefleet_protocol.manifest import Manifest

SMALLEST_CHUNK_BYTES = 1
"""For a link that the catalogue does not know: the encoding with the smallest chunks has the longest hash list."""


class Fetches(NamedTuple):
    """What a device downloads at most, None if it gets no variant; and whether its disk has the model's file already.

    The file is then in a slot of another variant, perhaps of another model.
    """

    size_bytes: int | None
    holds_model: bool = False


def fetches(
    catalogue: Catalogue,
    variants: Mapping[str, VariantRecord],
    execution: ExecutionRecord,
    known: OnDevice,
    manifest_of: Callable[[str], Manifest | None],
) -> Fetches:
    """How many bytes a device downloads at most: none if a slot holds its variant.

    Args:
        catalogue: says in which chunks the device's link is sent to.
        variants: the variants, by id.
        execution: what the plan gives to the device.
        known: what is on the device's disk.
        manifest_of: finds a manifest by its digest.
    """
    variant = variants.get(execution.variant or "")
    here = {manifest for slots in known.slots.values() for manifest in slots}
    if execution.phase == "already_installed" or execution.manifest in here:
        return Fetches(0)
    if execution.phase != "assigned" or variant is None:
        return Fetches(None)
    link = catalogue.link.get(execution.profile.rpartition("/")[2])
    wanted = manifest_of(execution.manifest or "") if HELD_FILES in known.features else None
    if wanted is None:
        sizes = variant.delivery_bytes
        return Fetches(sizes.get(link.chunk_bytes) if link else max(sizes.values(), default=None))
    found = (manifest_of(manifest) for manifest in here)
    held = {file.sha256 for manifest in found if manifest for file in manifest.slot_files}
    missing = wanted.missing_bytes(link.chunk_bytes if link else SMALLEST_CHUNK_BYTES, held)
    return Fetches(execution.manifest_bytes + missing, wanted.core.onnx.sha256 in held)
