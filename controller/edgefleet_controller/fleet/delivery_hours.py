"""For how long a device may be sent chunks, by its region's delivery window."""

import math

from edgefleet_controller.store import FleetStore
from edgefleet_controller.windows import RegionWindows


class DeliveryHours:
    """Looks devices up only if a region has a delivery window.

    Args:
        fleet: knows what each device is and should run.
        windows: when the devices of each region may fetch.
    """

    def __init__(self, fleet: FleetStore, windows: RegionWindows) -> None:
        self._fleet, self._windows, self._any = fleet, windows, windows.has("fetch")

    def left_s(self, device: str, now_ms: int) -> float:
        """Seconds until the device's window closes: infinite without one, 0 while it is closed.

        A device that was told to return waits for no window. One whose profile is not known yet, for it has not
        reported, waits until it has: it asks again.
        """
        if not self._any:
            return math.inf
        profile = next((member.profile for member in self._fleet.members.some([device])), None)
        if profile is None:
            return 0.0
        interval = self._windows.next_interval("fetch", profile, now_ms)
        if interval is None or any(desired.at_once for desired in self._fleet.desired.of(device)):
            return math.inf
        return (interval.to_ms - now_ms) / 1000 if interval.from_ms <= now_ms else 0.0
