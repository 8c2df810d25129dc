"""What is asked of telemetry, and what it answers."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, get_args

from edgefleet_contract.telemetry import Bucket, GroupBy
from edgefleet_protocol.counters import Counters

GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)
FOREVER_MS = 2**48


class Origin(NamedTuple):
    """Where a measurement comes from; `device` is None in a roll-up, the rest where the device had not reported."""

    device: str | None
    region: str | None
    hardware: str | None
    link: str | None


@dataclass
class Aggregate:
    """Windows merged: counts are summed, histograms are added, percentiles read from the sum.

    `bucket_ms` is the start of the hour or day (UTC) that it covers; None when time is not kept apart.
    """

    group: dict[GroupBy, str | int | None]
    bucket_ms: int | None = None
    windows: int = 0
    counters: Counters = field(default_factory=Counters)

    @property
    def key(self) -> str:
        """What listings are ordered by: time, then group."""
        group = json.dumps(list(self.group.values()), separators=(",", ":"))
        return f"{self.bucket_ms or 0:015d}{group}"

    def add(self, windows: int, counters: Counters) -> None:
        """Add a window, or the sum of several."""
        self.windows += windows
        self.counters.add(counters)


@dataclass(frozen=True)
class Question:
    """What is asked of telemetry.

    `selects` says whether a source counts, None that all do; `segments` says which segments a source belongs to, in
    each of which it is counted. With `by_device` they must know the device, which roll-ups don't.
    """

    group_by: tuple[GroupBy, ...] = ("variant",)
    bucket: Bucket = "none"
    model: str | None = None
    version: int | None = None
    device: str | None = None
    since_ms: int = 0
    until_ms: int = FOREVER_MS
    selects: Callable[[Origin], bool] | None = None
    segments: Callable[[Origin], tuple[str, ...]] = lambda _: ()
    by_device: bool = False

    @property
    def windows_only(self) -> bool:
        """Whether roll-ups cannot answer, since they no longer know the device."""
        return self.by_device or self.device is not None or "device" in self.group_by


class Aggregates(Protocol):
    """Windows and roll-ups read as one."""

    def answer(self, question: Question) -> list[Aggregate]:
        """Windows and roll-ups merged; MUST be by time and group, as `Aggregate.key` says.

        MUST count every window once, whether it is rolled up or not, as everything stands at one moment: what is rolled
        up while the question is answered changes nothing. Where an hour is asked for in part and its windows are gone,
        it is counted as a whole.
        """

    def windows_from_ms(self) -> int:
        """Since when every window is kept, by the time of its measuring; what is older may be only in roll-ups."""

    def extent(self) -> tuple[int, int]:
        """When the first and the last of what is kept was measured; (0, -1) when nothing is."""
