"""Questions to telemetry and their answers."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, get_args

from edgefleet_contract.telemetry import Bucket, GroupBy
from edgefleet_protocol.counters import Counters

GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)
FOREVER_MS = 2**48


class Origin(NamedTuple):
    """Where a measurement comes from; `device` is None in a roll-up, the rest if the device had not reported."""

    device: str | None
    region: str | None
    hardware: str | None
    link: str | None


@dataclass
class Aggregate:
    """Merged windows: counts are summed, histograms added, and percentiles read from the sum.

    `bucket_ms` is the start of the hour or day (UTC) that it covers; None without buckets. `labels` says how many
    labelled answers there are of each model version.
    """

    group: dict[GroupBy, str | int | None]
    bucket_ms: int | None = None
    windows: int = 0
    counters: Counters = field(default_factory=Counters)
    labels: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key that orders listings: time, then group."""
        group = json.dumps(list(self.group.values()), separators=(",", ":"))
        return f"{self.bucket_ms or 0:015d}{group}"

    def add(self, windows: int, counters: Counters) -> None:
        """Add a window, or the sum of several."""
        self.windows += windows
        self.counters.add(counters)


@dataclass(frozen=True)
class Question:
    """A question to telemetry.

    `selects` says whether an origin counts; None means that all do. `segments` gives the segments of an origin, which
    is counted in each. With `by_device` they need to know the device, which roll-ups don't.
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
        """Whether only windows can answer, since roll-ups no longer know the device."""
        return self.by_device or self.device is not None or "device" in self.group_by


class Aggregates(Protocol):
    """Windows and roll-ups, read together."""

    def answer(self, question: Question) -> list[Aggregate]:
        """Windows and roll-ups, merged; MUST be ordered by `Aggregate.key`.

        MUST count every window once, rolled up or not, from one snapshot: windows that are rolled up in the meantime
        make no difference. If part of an hour is asked for but its windows are gone, the whole hour is counted.
        """

    def windows_from_ms(self) -> int:
        """The time of measurement from which all windows are kept; older ones may be only in roll-ups."""

    def extent(self) -> tuple[int, int]:
        """When the first and the last kept measurements were made; (0, -1) if there are none."""
