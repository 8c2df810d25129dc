"""When the first devices of a wave switch: once enough of it have staged; the others follow one by one. Pure."""

import math
from collections.abc import Mapping

from edgefleet_contract.counted import agreeing, counted
from edgefleet_contract.rollouts import WavePhase
from edgefleet_protocol.phases import ON_THE_WAY, Phase

BEFORE_STAGED: tuple[Phase, ...] = ON_THE_WAY[: ON_THE_WAY.index("staged")]
AFTER_STAGED: tuple[Phase, ...] = ON_THE_WAY[ON_THE_WAY.index("staged") + 1 :]
ROUNDING = 1e-9
"""0.07 of 100 devices are 7, and not 8 for what a float cannot hold."""


def needed(start_share: float, under_way: int) -> int:
    """How many of the devices under way must have staged before any of them switches."""
    return math.ceil(start_share * under_way - ROUNDING)


def standing(state: WavePhase, counts: Mapping[str, int]) -> str | None:
    """What the devices under way in a wave that stages or switches do now, in words; None if there are none.

    Args:
        state: of the wave.
        counts: the wave's devices by phase.
    """
    if state not in ("staging", "activating"):
        return None
    fetching, staged = sum(counts.get(phase, 0) for phase in BEFORE_STAGED), counts.get("staged", 0)
    switching = sum(counts.get(phase, 0) for phase in AFTER_STAGED)
    doing = {"fetching": fetching, "ready to switch": staged, "switching": switching}
    told = [(number, what) for what, number in doing.items() if number]
    if not told:
        return None
    (first, what), *others = told
    return ", ".join([f"{counted(first, 'device')} {what}", *(f"{number:,} {what}" for number, what in others)])


def waits_for(state: WavePhase, start_share: float, counts: Mapping[str, int]) -> str | None:
    """What a wave waits for before devices switch, in words; None if it waits for none.

    Args:
        state: of the wave.
        start_share: of the rollout's spec.
        counts: the wave's devices by phase.
    """
    fetching, staged = sum(counts.get(phase, 0) for phase in BEFORE_STAGED), counts.get("staged", 0)
    if not fetching:
        return None
    if state == "staging":
        enough, of = needed(start_share, fetching + staged), counted(fetching + staged, "device")
        switch, have = agreeing(enough, "switches", "switch"), agreeing(enough, "has", "have")
        return f"{staged:,} of {of} staged; the first {switch} once {enough:,} {have}"
    if state == "activating":
        return f"{counted(fetching, 'device')} still fetching, to switch once staged"
    return None
