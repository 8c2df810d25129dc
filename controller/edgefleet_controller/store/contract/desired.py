"""What each device should run."""

from collections.abc import Iterable
from typing import Protocol

from edgefleet_controller.records import DesiredRecord


class DesiredStates(Protocol):
    """One record for each device and model: the last one that was put."""

    def put(self, *desired: DesiredRecord) -> None:
        """Change what devices should run."""

    def of(self, device: str) -> list[DesiredRecord]:
        """What a device should run; MUST be in the order of the models' names."""

    def of_each(self, devices: Iterable[str]) -> dict[str, list[DesiredRecord]]:
        """What each of these devices should run, as `of`; one that was never told anything is left out."""

    def of_model(self, model: str, devices: Iterable[str]) -> dict[str, DesiredRecord]:
        """What each of these devices should run of one model; one that was never told anything is left out."""
