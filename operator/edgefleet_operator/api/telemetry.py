"""Reads telemetry, what devices measured while answering."""

from collections.abc import Iterator, Sequence
from itertools import islice

from edgefleet_contract.telemetry import Bucket, GroupBy, TelemetryPage, TelemetryView
from edgefleet_operator.http import MOST_ITEMS, Http, page_size


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
        """Iterate over merged windows and roll-ups, one view for each group.

        Args:
            group_by: what to group by.
            bucket: also group by hour or day (UTC).
            model: only this model, or one version of it.
            device: only this device.
            selector: only devices that match.
            since_ms: only measurements from this time on, in milliseconds UTC.
            until_ms: only measurements before this time, in milliseconds UTC.
            limit: how many views at most; None means all.

        Raises:
            ApiError: the controller refused the request or didn't answer.
        """
        pages = self.pages(
            group_by,
            bucket=bucket,
            model=model,
            device=device,
            selector=selector,
            since_ms=since_ms,
            until_ms=until_ms,
            size=page_size(limit),
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
        """Iterate over the same in pages of `size`, which also say what was counted and how far back windows go."""
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
