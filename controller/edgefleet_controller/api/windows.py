"""How the API shows windows and who waits for them."""

from collections.abc import Iterable, Sequence

from edgefleet_contract.rollouts import WaveRecord
from edgefleet_contract.windows import IntervalView, RegionWindowView, WaitView
from edgefleet_controller.rollouts.hours import NEXT
from edgefleet_controller.store.contract.rollouts import PhaseTally
from edgefleet_controller.windows import RegionWindows, region_of
from edgefleet_profiles.parts import ACTS, Act

SHOWN = 3
"""Intervals to show: this one or the next, and what follows."""


def window_views(windows: RegionWindows, profiles: Iterable[str], now_ms: int) -> tuple[RegionWindowView, ...]:
    """The windows of these profiles' regions; a region without a window is left out."""
    found = []
    for region in sorted({region_of(profile) for profile in profiles}):
        for act in ACTS:
            if window := windows.of(region, act):
                following = windows.intervals(act, region, now_ms, SHOWN)
                found.append(
                    RegionWindowView(
                        region=region,
                        act=act,
                        window=str(window),
                        timezone=windows.timezone(region),
                        open=following[0].from_ms <= now_ms,
                        intervals=[IntervalView(from_ms=one.from_ms, to_ms=one.to_ms) for one in following],
                    )
                )
    return tuple(found)


def waits_of(
    windows: RegionWindows, wave: WaveRecord, tallies: Sequence[PhaseTally], now_ms: int
) -> tuple[WaitView, ...]:
    """Whom a wave waits for until their window opens; none before it has begun."""
    waiting: dict[tuple[str, Act], int] = {}
    for tally in tallies:
        act = NEXT.get(tally.phase)
        # While a wave stages, nobody would switch yet.
        early = wave.state == "pending" or (wave.state == "staging" and act == "switch")
        if tally.wave == wave.number and act and not early and not windows.may(act, tally.profile, now_ms):
            key = (region_of(tally.profile), act)
            waiting[key] = waiting.get(key, 0) + tally.devices
    return tuple(
        WaitView(region=region, act=act, devices=devices, opens_ms=opening.from_ms)
        for (region, act), devices in sorted(waiting.items())
        if (opening := windows.next_interval(act, region, now_ms))
    )
