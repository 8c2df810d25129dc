"""How long downloads take over links that devices found slower than the catalogue says."""

from collections.abc import Iterable, Mapping

from edgefleet_contract.rollouts import PlannedExecutionView, SlowLinkView
from edgefleet_profiles.catalogue import Catalogue


def slow_links(
    catalogue: Catalogue,
    executions: Iterable[PlannedExecutionView],
    measured_kbps: Mapping[str, float],
) -> tuple[SlowLinkView, ...]:
    """Devices with something to fetch over such links, the longest download first.

    Args:
        catalogue: what the links should carry.
        executions: what a plan gives to whom, and how much that is.
        measured_kbps: the rates that devices found, in kbit/s.
    """
    found = []
    for execution in (one for one in executions if one.fetches_bytes and one.device in measured_kbps):
        kbps, link = measured_kbps[execution.device], catalogue.link.get(execution.profile.rpartition("/")[2])
        if link is None or kbps >= link.down_kbps:
            continue
        as_measured = link.model_copy(update={"down_kbps": kbps, "loss": 0.0})  # lost packets are in what was measured
        found.append(
            SlowLinkView(
                device=execution.device,
                link=link.name,
                measured_kbps=kbps,
                catalogue_kbps=link.down_kbps,
                transfer_s=as_measured.transfer_s(execution.fetches_bytes or 0),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.transfer_s, one.device)))
