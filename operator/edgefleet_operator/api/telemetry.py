"""What devices measured while they answered."""

from collections.abc import Iterator, Sequence
from itertools import islice

from edgefleet_contract.telemetry import Bucket, GroupBy, TelemetryPage, TelemetryView
from edgefleet_operator.http import MOST_ITEMS, Http


class Telemetry:
    """`client.telemetry`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(
        self,
        group_by: Sequence[GroupBy] = ("variant",),
        *,
        bucket: Bucket = "none",
        model: str | None = None,
        device: str | None = None,
        selector: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int | None = None,
    ) -> Iterator[TelemetryView]:
        """Windows and roll-ups merged, a view for each group.

        Args:
            group_by: what to keep apart.
            bucket: keep hours or days (UTC) apart.
            model: only of this model, or of one version of it.
            device: only from this device.
            selector: only from devices that match.
            since_ms: only what was measured then or later, milliseconds UTC.
            until_ms: only what was measured before.
            limit: at most so many.

        Raises:
            ApiError: it is refused, or there is no answer.
        """
        pages = self.pages(
            group_by,
            bucket=bucket,
            model=model,
            device=device,
            selector=selector,
            since_ms=since_ms,
            until_ms=until_ms,
            size=min(limit or MOST_ITEMS, MOST_ITEMS),
        )
        return islice((view for page in pages for view in page.items), limit)

    def pages(
        self,
        group_by: Sequence[GroupBy] = ("variant",),
        *,
        bucket: Bucket = "none",
        model: str | None = None,
        device: str | None = None,
        selector: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        size: int = MOST_ITEMS,
    ) -> Iterator[TelemetryPage]:
        """The same by pages of `size`, which say what was counted and how far back every window is kept."""
        return self._http.pages(
            TelemetryPage,
            "/telemetry",
            size,
            group_by=list(group_by),
            bucket=bucket,
            model=model,
            device=device,
            selector=selector,
            since_ms=since_ms,
            until_ms=until_ms,
        )
