"""The devices of the fleet that a selector matches, and the labels that it sees."""

from collections.abc import Mapping

from edgefleet_contract.devices import DeviceStatus
from edgefleet_controller.records import DeviceRecord
from edgefleet_controller.rollouts.matching import Matcher
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.members import Member
from edgefleet_profiles.catalogue import Catalogue

READ_AT_ONCE = 1000
"""How many devices to read at once when only some are wanted."""


def labels(device: DeviceRecord, catalogue: Catalogue) -> Mapping[str, str]:
    """The labels of a device, as selectors see them."""
    return Matcher(catalogue, "").labels(device.profile, device.labels)


def select(
    fleet: FleetStore,
    catalogue: Catalogue,
    selector: str,
    status: DeviceStatus | None = "accepted",
    *,
    after: str = "",
    at_most: int | None = None,
) -> list[Member]:
    """The devices that a selector matches, by id.

    Args:
        fleet: the fleet's store.
        catalogue: the labels of a profile come from here.
        selector: the selector.
        status: only devices with this status; None for any.
        after: only devices whose ids come after this one.
        at_most: how many devices; no more of the fleet is read than needed.

    Raises:
        Invalid: the selector cannot be parsed.
    """
    matches = Matcher(catalogue, selector).matches
    if at_most is None:
        return [device for device in fleet.members.all(status=status, after=after) if matches(device)]
    found: list[Member] = []
    while len(found) < at_most:
        read = fleet.members.all(status=status, after=after, at_most=READ_AT_ONCE)
        found += [device for device in read if matches(device)]
        if len(read) < READ_AT_ONCE:
            break
        after = read[-1].id
    return found[:at_most]
