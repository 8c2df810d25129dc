"""Roll-ups of telemetry windows by hour and by day, and the deletion of old data."""

from typing import Protocol

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def floor(ms: int, width_ms: int) -> int:
    """The start of the hour or day (UTC) that a moment is in."""
    return ms // width_ms * width_ms


def ceiling(ms: int, width_ms: int) -> int:
    """The first start of an hour or day (UTC) at or after a moment."""
    return -(-ms // width_ms) * width_ms


class Rollups(Protocol):
    """Made and deleted in slices, so that the writer of new windows never waits long.

    A roll-up covers an hour or a day (UTC), a model version, a variant and a profile, and no longer knows the device.
    Every window MUST be counted in it once, despite failures and kills: a mark on the window says whether it is in one,
    and is set in the transaction that adds it. A window that arrives late for its hour is added like any other.
    """

    def roll_up(self, before_ms: int, limit: int) -> int:
        """Add at most `limit` windows measured before `before_ms` to their hours and days; returns how many.

        MUST take the oldest first.
        """

    def forget_windows(self, received_before_ms: int, abandoned_before_ms: int, limit: int) -> int:
        """Delete at most `limit` windows that are in a roll-up; returns how many.

        Args:
            received_before_ms: older windows are deleted once acknowledged; until then a device may send them again,
                and only the row shows the repetition.
            abandoned_before_ms: older windows are deleted in any case; their device never closed a gap.
            limit: the maximum number.
        """

    def forget_rollups(self, before_ms: int) -> int:
        """Delete the days that ended before `before_ms`, and their hours; returns the number of roll-ups."""

    def count(self) -> int:
        """How many roll-ups are kept."""
