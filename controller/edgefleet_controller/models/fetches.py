"""How much each device of a plan has to fetch; pure."""

from collections.abc import Collection, Mapping

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.records import VariantRecord
from edgefleet_profiles.catalogue import Catalogue
from edgefleet_protocol.messages import Slot


def fetches_bytes(
    catalogue: Catalogue, variants: Mapping[str, VariantRecord], execution: ExecutionRecord, slots: Collection[Slot]
) -> int | None:
    """How many bytes a device downloads at most: none if a slot holds its variant; None if it gets no variant.

    Args:
        catalogue: says in which chunks the device's link is sent to.
        variants: the variants, by id.
        execution: what the plan gives to the device.
        slots: what is on the device's disk.
    """
    variant = variants.get(execution.variant or "")
    if execution.phase == "already_installed" or any(slot.manifest == execution.manifest for slot in slots):
        return 0
    if execution.phase != "assigned" or variant is None:
        return None
    link = catalogue.link.get(execution.profile.rpartition("/")[2])
    sizes = variant.delivery_bytes
    return sizes.get(link.chunk_bytes) if link else max(sizes.values(), default=None)
