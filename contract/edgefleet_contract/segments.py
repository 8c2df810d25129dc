"""Segments: named selectors over devices."""

from edgefleet_contract.base import Shape
from edgefleet_profiles.names import Name


class SegmentRecord(Shape):
    """A named selector over devices."""

    name: Name
    selector: str


class SegmentView(SegmentRecord):
    """A segment with its current number of devices; `doubts` are what in its selector no device has, in words."""

    devices: int
    doubts: tuple[str, ...] = ()
