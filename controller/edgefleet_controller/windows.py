"""When the devices of each region may fetch and switch: pure rules over the catalogue's windows that take `now`."""

from collections.abc import Mapping
from types import MappingProxyType

from edgefleet_profiles.parts import ACTS, Act, Region, Window
from edgefleet_profiles.windows import OpenSpan, intervals, next_intervals, open_ms
from edgefleet_protocol.messages import Opening, OpenInterval

AHEAD = 8
"""Intervals that a device is told: a week of daily ones, also on days when the clock shows an hour twice."""


class RegionWindows:
    """The windows of all regions; a region without one, or that the catalogue lacks, is always open.

    Where a profile is asked for, the name of its region does as well.
    """

    def __init__(self, regions: Mapping[str, Region] = MappingProxyType({})) -> None:
        self._regions = regions
        self._windowed = {(n, act): w for n, region in regions.items() for act in ACTS if (w := region.window_to(act))}
        self._next: dict[tuple[str, Act], tuple[int, OpenSpan]] = {}

    def __bool__(self) -> bool:
        """Whether any region has a window."""
        return bool(self._windowed)

    def has(self, act: Act) -> bool:
        """Whether any region has a window to do this."""
        return any(of == act for _, of in self._windowed)

    def of(self, profile: str, act: Act) -> Window | None:
        """The window that devices of a profile have for this; None if they may at any time."""
        return self._windowed.get((region_of(profile), act))

    def may(self, act: Act, profile: str, now_ms: int) -> bool:
        """Whether devices of a profile may do this now."""
        found = self.next_interval(act, profile, now_ms)
        return found is None or found.from_ms <= now_ms

    def next_interval(self, act: Act, profile: str, now_ms: int) -> OpenSpan | None:
        """The interval that is open now or opens next; None if it is always open."""
        key = (region_of(profile), act)
        window = self._windowed.get(key)
        if window is None:
            return None
        asked_ms, known = self._next.get(key, (0, OpenSpan(0, 0)))
        if not asked_ms <= now_ms < known.to_ms:
            known = next(intervals(window, self._regions[key[0]].timezone, now_ms))
            self._next[key] = (now_ms, known)
        return known

    def open_s(self, act: Act, profile: str, since_ms: int, now_ms: int) -> float:
        """For how many seconds since then devices of a profile could do this."""
        window = self.of(profile, act)
        if window is None:
            return (now_ms - since_ms) / 1000
        return open_ms(window, self._regions[region_of(profile)].timezone, since_ms, now_ms) / 1000

    def opening(self, act: Act, profile: str, now_ms: int) -> Opening | None:
        """What a device of a profile is told."""
        found = self.intervals(act, profile, now_ms)
        if not found:
            return None
        open_now_s = (found[0].to_ms - now_ms) / 1000 if found[0].from_ms <= now_ms else 0.0
        told = tuple(OpenInterval(from_ms=one.from_ms, to_ms=one.to_ms) for one in found)
        return Opening(intervals=told, open_s=open_now_s)

    def intervals(self, act: Act, profile: str, now_ms: int, count: int = AHEAD) -> tuple[OpenSpan, ...]:
        """The next intervals in which devices of a profile may do this; empty if they may at any time."""
        window = self.of(profile, act)
        if window is None:
            return ()
        return next_intervals(window, self._regions[region_of(profile)].timezone, now_ms, count)

    def timezone(self, profile: str) -> str:
        """The time zone of a profile's region, which has a window."""
        return self._regions[region_of(profile)].timezone


def region_of(profile: str) -> str:
    """The region of a profile that is written `region/hardware/link`."""
    return profile.partition("/")[0]


NO_WINDOWS = RegionWindows()
