"""Roll-ups of telemetry windows by hour and by day, and what is forgotten when."""

from typing import Protocol

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def floor(ms: int, width_ms: int) -> int:
    """The start of the hour or day (UTC) that a moment is in."""
    return ms // width_ms * width_ms


def ceiling(ms: int, width_ms: int) -> int:
    """The first start of an hour or day (UTC) that is not before a moment."""
    return -(-ms // width_ms) * width_ms


class Rollups(Protocol):
    """Made and deleted a slice at a time: the writer of new windows never waits long.

    A roll-up is of an hour or a day (UTC), a model version, a variant and a profile, and no longer knows the device.
    Every window MUST be counted in it once, whatever fails or is killed: it says itself whether it is in one, and that
    changes in the transaction that adds it. One that comes late for its hour is added like any other.
    """

    def roll_up(self, before_ms: int, limit: int) -> int:
        """Add at most `limit` windows measured before `before_ms` to their hours and days; how many.

        MUST take the oldest first.
        """

    def forget_windows(self, received_before_ms: int, abandoned_before_ms: int, limit: int) -> int:
        """Delete at most `limit` windows that are in a roll-up; how many.

        Args:
            received_before_ms: older ones go once they are acknowledged: a device sends again what is not, and we
                tell a second sending by the first one's row.
            abandoned_before_ms: older ones go in any case; their device never closed a gap.
            limit: how many at most.
        """

    def forget_rollups(self, before_ms: int) -> int:
        """Delete the days that ended before `before_ms`, and their hours; how many roll-ups that were."""

    def count(self) -> int:
        """How many roll-ups are kept."""
