"""Named selectors over devices."""

from typing import Protocol

from edgefleet_contract.segments import SegmentRecord


class SegmentRecords(Protocol):
    """One selector per name."""

    def put(self, segment: SegmentRecord) -> None:
        """Save a named selector, replacing one with the same name."""

    def all(self) -> list[SegmentRecord]:
        """All segments; MUST be ordered by name."""

    def remove(self, name: str) -> None:
        """Remove a segment.

        Raises:
            NotFound: it doesn't exist.
        """

    def get(self, name: str) -> SegmentRecord:
        """A segment by its name.

        Raises:
            NotFound: it doesn't exist.
        """
