"""The windows of a rollout's devices at one moment: pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.windows import NO_WINDOWS, RegionWindows, region_of
from edgefleet_profiles.parts import ACTS, Act
from edgefleet_protocol.phases import ENDED_OTHERWISE, Phase

NEXT: Mapping[Phase, Act] = {
    "assigned": "fetch",
    "notified": "fetch",
    "downloading": "fetch",
    "staged": "switch",
}
"""What a device in this phase does next, if that is something for which there can be a window."""


@dataclass(frozen=True)
class Hours:
    """Whose window is open at `now_ms`."""

    now_ms: int
    windows: RegionWindows = NO_WINDOWS

    def may(self, execution: ExecutionRecord) -> bool:
        """Whether a device may do what comes next for it."""
        act = NEXT.get(execution.phase)
        return act is None or self.windows.may(act, execution.profile, self.now_ms)

    def running_s(self, executions: Iterable[ExecutionRecord], since_ms: int, acts: Iterable[Act] = ACTS) -> float:
        """Seconds since then in which all of these devices could act, each counted by its region's windows.

        It doesn't matter whether a device still waits, so that this never jumps.
        """
        passed_s = (self.now_ms - since_ms) / 1000
        if not self.windows:
            return passed_s
        regions = {region_of(e.profile) for e in executions if e.phase not in ENDED_OTHERWISE}
        open_s = (self.windows.open_s(act, region, since_ms, self.now_ms) for act in acts for region in regions)
        return min([passed_s, *open_s])
