"""The demo's fleet: six agents in three regions, on four kinds of hardware and three kinds of link."""

from dataclasses import dataclass

from edgefleet_contract.rollouts import Gate, Timers


@dataclass(frozen=True)
class DemoAgent:
    """One agent to start; its hardware is simulated, and its link's channel is paced to the link's rate."""

    id: str
    region: str
    hardware: str
    link: str

    @property
    def profile(self) -> str:
        """`eu/rpi4/lte`."""
        return f"{self.region}/{self.hardware}/{self.link}"


FLEET = (
    DemoAgent("eu-line-1", "eu", "x86-avx2", "ethernet"),
    DemoAgent("eu-kiosk-1", "eu", "rpi4", "lte"),
    DemoAgent("eu-meter-1", "eu", "rpi-zero-2w", "nb-2g"),
    DemoAgent("na-line-1", "na", "rpi5", "ethernet"),
    DemoAgent("na-kiosk-1", "na", "rpi5", "lte"),
    DemoAgent("in-meter-1", "in", "rpi-zero-2w", "nb-2g"),
)

SEGMENTS = (("europe", "region=eu"), ("elsewhere", "region!=eu"))
HEARTBEAT_S = 2.0
WINDOW_S = 3.0
WAVES = (0.33, 1.0)
GATE = Gate(success_threshold=1.0, failure_threshold=0.0, min_decided=1, soak_s=4)
A_DAY_S = 86_400
TIMERS = Timers(unreachable_s=A_DAY_S, silent_s=A_DAY_S, staging_s=A_DAY_S, wave_s=A_DAY_S, trial_s=2)
"""Nothing ends by the clock: the demo itself ends a rollout that makes no progress."""
LONG_SOAK_S, MOST_SOAK_S = 15, 1800
ENOUGH_LABELS = 120
