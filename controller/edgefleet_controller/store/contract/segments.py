"""Named selectors over devices."""

from typing import Protocol

from edgefleet_contract.segments import SegmentRecord


class SegmentRecords(Protocol):
    """One selector for each name."""

    def put(self, segment: SegmentRecord) -> None:
        """Save a named selector, in place of the one that had this name."""

    def all(self) -> list[SegmentRecord]:
        """Every segment; MUST be by name."""

    def get(self, name: str) -> SegmentRecord:
        """A segment by its name.

        Raises:
            NotFound: no such segment was saved.
        """
