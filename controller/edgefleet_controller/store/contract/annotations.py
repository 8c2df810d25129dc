"""What operators have written on devices."""

from typing import Protocol

from edgefleet_controller.records import Annotation


class Annotations(Protocol):
    """One annotation per device; `DeviceRecords.forget` removes it."""

    def of(self, device: str) -> Annotation:
        """What is written on a device, which may not have reported yet; empty if nothing is."""

    def put(self, device: str, annotation: Annotation) -> None:
        """Write on a device, in place of what was written before."""
