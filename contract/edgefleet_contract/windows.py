"""When the devices of a region may fetch variants and switch to them."""

from edgefleet_contract.base import Shape
from edgefleet_profiles.parts import Act


class IntervalView(Shape):
    """From one instant until another, which is no part of it; both in milliseconds UTC."""

    from_ms: int
    to_ms: int


class RegionWindowView(Shape):
    """A daily window of a region, in its local time, and the next `intervals`; the first may be open now."""

    region: str
    act: Act
    window: str
    timezone: str
    open: bool
    intervals: list[IntervalView]


class WaitView(Shape):
    """How many devices of a region wait until their window opens."""

    region: str
    act: Act
    devices: int
    opens_ms: int
