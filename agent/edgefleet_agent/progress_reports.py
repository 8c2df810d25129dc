"""When a long transfer is worth a report before the next heartbeat; no I/O."""

from collections.abc import Iterable

from edgefleet_protocol.messages import Transfer

TENTHS = 10
"""A report for each tenth of what there is to fetch, and at most so many within a heartbeat."""
WORTH = 50
"""How many times a report's size must have arrived since the last one: reports cost a slow link 2 % at most."""


class ProgressReports:
    """Remembers what the last report said of transfers under way.

    Args:
        heartbeat_s: how long reports are apart if nothing happens, in seconds.
    """

    def __init__(self, heartbeat_s: float) -> None:
        self._apart_s = heartbeat_s / TENTHS
        self._not_before_s, self._done, self._worth_bytes = 0.0, 0, 0

    def reported(self, transfers: Iterable[Transfer], report_bytes: int, now_s: float) -> None:
        """Note what a report of so many bytes has said, sent now by the monotonic clock."""
        self._done = sum(one.bytes_done for one in transfers)
        self._not_before_s, self._worth_bytes = now_s + self._apart_s, WORTH * report_bytes

    def may_be_due(self, now_s: float) -> bool:
        """Whether enough time has passed to look at the transfers."""
        return now_s >= self._not_before_s

    def is_due(self, transfers: Iterable[Transfer], now_s: float) -> bool:
        """Whether another tenth has arrived, enough to be worth a report."""
        under_way = list(transfers)
        done, total = sum(one.bytes_done for one in under_way), sum(one.bytes_total for one in under_way)
        begun_anew = done < self._done  # by another attempt
        arrived = done if begun_anew else done - self._done
        return self.may_be_due(now_s) and arrived > 0 and arrived >= max(total / TENTHS, self._worth_bytes)
