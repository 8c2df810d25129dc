"""Incarnations of one device that were heard in turn, and devices that are in conflict for it."""

from typing import Protocol

from edgefleet_contract.devices import ConflictRecord, HeardRecord


class Conflicts(Protocol):
    """Who reported under an id beside the one that reported last."""

    def current(self, device: str) -> HeardRecord | None:
        """The incarnation that reported last, and when the device was heard last; None for one that never reported."""

    def others(self, device: str) -> list[HeardRecord]:
        """Incarnations that another one had followed, and when each was heard last."""

    def keep(self, device: str, heard: HeardRecord, forget_before_ms: int) -> None:
        """Remember an incarnation that another one follows; those of the device that were heard before that time go."""

    def since_ms(self, device: str) -> int | None:
        """Since when a device is in conflict; None when it is not."""

    def begin(self, device: str, words: str, now_ms: int) -> None:
        """A device is in conflict; its executions that have not ended MUST end as deferred, with these words."""

    def end(self, device: str) -> None:
        """A device is no longer in conflict."""

    def find(self, device: str) -> ConflictRecord | None:
        """The conflict that a device is in."""

    def all(self) -> dict[str, ConflictRecord]:
        """Every device in conflict that has reported, by id.

        Its incarnations are the one that reported last and all that are remembered, each once; they MUST be in order,
        the one that was heard last first.
        """

    def count(self) -> int:
        """How many devices are in conflict."""
