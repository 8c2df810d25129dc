"""How long downloads take over links that devices found slower than the catalogue says."""

from collections.abc import Iterable, Mapping

from edgefleet_contract.rollouts import ExecutionRecord, SlowLinkView
from edgefleet_controller.records import VariantRecord
from edgefleet_profiles.catalogue import Catalogue


def slow_links(
    catalogue: Catalogue,
    variants: Mapping[str, VariantRecord],
    executions: Iterable[ExecutionRecord],
    measured_kbps: Mapping[str, float],
) -> tuple[SlowLinkView, ...]:
    """Devices with something to install over such links, the longest download first.

    Args:
        catalogue: what the links should carry.
        variants: the variants, by id.
        executions: what a plan gives to whom.
        measured_kbps: the rates that devices found, in kbit/s.
    """
    found = []
    for execution in (one for one in executions if one.phase == "assigned" and one.device in measured_kbps):
        variant, kbps = variants.get(execution.variant or ""), measured_kbps[execution.device]
        link = catalogue.link.get(execution.profile.rpartition("/")[2])
        if variant is None or link is None or kbps >= link.down_kbps:
            continue
        as_measured = link.model_copy(update={"down_kbps": kbps, "loss": 0.0})  # lost packets are in what was measured
        found.append(
            SlowLinkView(
                device=execution.device,
                link=link.name,
                measured_kbps=kbps,
                catalogue_kbps=link.down_kbps,
                transfer_s=as_measured.transfer_s(variant.delivery_bytes[link.chunk_bytes]),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.transfer_s, one.device)))
