"""Incarnations of one device that were heard alternately, and devices in conflict."""

from typing import Protocol

from edgefleet_contract.devices import ConflictRecord, HeardRecord


class Conflicts(Protocol):
    """The incarnations that reported under a device id, besides the one that reported last."""

    def current(self, device: str) -> HeardRecord | None:
        """The incarnation that reported last, and when the device was last heard; None if it never reported."""

    def others(self, device: str) -> list[HeardRecord]:
        """Incarnations that were followed by another one, and when each was last heard."""

    def keep(self, device: str, heard: HeardRecord, forget_before_ms: int) -> None:
        """Remember an incarnation that another one follows; forget those of the device last heard before that time."""

    def since_ms(self, device: str) -> int | None:
        """Since when a device has been in conflict; None if it isn't."""

    def begin(self, device: str, words: str, now_ms: int) -> None:
        """Put a device in conflict; its executions that have not ended MUST end as deferred, with these words."""

    def end(self, device: str) -> None:
        """End the conflict of a device."""

    def find(self, device: str) -> ConflictRecord | None:
        """The conflict that a device is in; None if it isn't in one."""

    def all(self) -> dict[str, ConflictRecord]:
        """All devices in conflict that have reported, by id.

        The incarnations of each are the one that reported last and all that are remembered, each once; they MUST be
        ordered, the last one heard first.
        """

    def count(self) -> int:
        """How many devices are in conflict."""
