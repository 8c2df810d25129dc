"""What each device should run."""

from collections.abc import Iterable
from typing import Protocol

from edgefleet_controller.records import DesiredRecord


class DesiredStates(Protocol):
    """One record per device and model: the last one put."""

    def put(self, *desired: DesiredRecord) -> None:
        """Change what devices should run."""

    def of(self, device: str) -> list[DesiredRecord]:
        """What a device should run; MUST be ordered by model name."""

    def of_each(self, devices: Iterable[str]) -> dict[str, list[DesiredRecord]]:
        """What each of these devices should run, as `of`; devices without records are left out."""

    def of_model(self, model: str, devices: Iterable[str]) -> dict[str, DesiredRecord]:
        """What each of these devices should run of one model; devices without a record are left out."""
