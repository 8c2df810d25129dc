"""Paces: the few rates at which chunks are sent, so that devices with links of about the same speed share a broadcast.

A pace is a power of two from 16 kbit/s upwards. A device listens at the next pace above the rate that it has measured;
before it has measured one, at `UNMEASURED`: it is sent a few chunks at once, and sees how fast they arrive.
"""

import math

UNMEASURED = 0
"""The pace of a device that does not know its rate yet."""
SLOWEST_KBPS = 16
FASTEST_KBPS = SLOWEST_KBPS << 26
CERTAIN_KBPS = 4_096.0
"""Rates above this are not told from a busy machine: fifty devices on two cores, and a broker beside them, measured 6
to 16 Mbit/s on a channel of 1 Gbit/s, and at three paces were sent everything eight times. Such a device listens at its
channel's pace, and its credit alone keeps it from being sent too much."""


def pace_for(kbps: float) -> int:
    """The next pace at or above a rate, in kbit/s.

    Args:
        kbps: the rate, in kbit/s, more than 0.
    """
    steps = math.ceil(math.log2(min(max(kbps, SLOWEST_KBPS), FASTEST_KBPS) / SLOWEST_KBPS))
    return SLOWEST_KBPS << steps


def is_pace(kbps: int) -> bool:
    """Whether this is one of the paces, `UNMEASURED` included."""
    return kbps == UNMEASURED or pace_for(kbps) == kbps
