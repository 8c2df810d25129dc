"""Telemetry: latency percentiles, scores and counts."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from edgefleet_contract.base import SelectorText
from edgefleet_contract.telemetry import Bucket, GroupBy, TelemetryPage, TelemetryView
from edgefleet_controller.api.dependencies import TheService, model_ref
from edgefleet_controller.api.pages import Cursor, PageLimit, page
from edgefleet_controller.api.showing import telemetry_view
from edgefleet_controller.errors import Invalid
from edgefleet_controller.fleet.selection import select
from edgefleet_controller.service import Service
from edgefleet_controller.store.contract.aggregates import FOREVER_MS, Aggregate, Origin, Question
from edgefleet_controller.store.contract.rollups import DAY_MS, floor
from edgefleet_controller.store.measures import KnownMeasures
from edgefleet_profiles.errors import ProfileError, SelectorError
from edgefleet_profiles.names import NAME_PATTERN
from edgefleet_profiles.selector import PROFILE_LABELS, Selector, compile_selector, labels_of

router = APIRouter(tags=["telemetry"])

ModelName = Annotated[str, Field(json_schema_extra={"pattern": r"^[a-z0-9][a-z0-9_-]{0,63}(@[1-9][0-9]{0,8})?$"})]
_PIECE_MS = {"hour": DAY_MS, "day": 30 * DAY_MS}

Moment = Annotated[int | None, Query(ge=0, lt=FOREVER_MS, description="milliseconds UTC, by time of measurement")]


@router.get("/telemetry")
def telemetry(
    service: TheService,
    group_by: Annotated[list[GroupBy] | None, Query(description="what to group by; default: variant")] = None,
    bucket: Annotated[Bucket, Query(description="also group by hour or day (UTC)")] = "none",
    model: Annotated[ModelName | None, Query(description="NAME@VERSION, or NAME for all its versions")] = None,
    device: str | None = None,
    selector: Annotated[
        SelectorText, Query(description="only devices with these labels, such as region=eu,!metered")
    ] = "",
    since_ms: Moment = None,
    until_ms: Moment = None,
    limit: PageLimit = 100,
    cursor: Cursor = None,
) -> TelemetryPage:
    """Windows and hourly roll-ups, merged by group and time.

    Grouping or filtering by device, or by a label that doesn't come from a profile, reads only windows, which go back
    to `windows_from_ms`. Grouped by segment, a device counts in each of its segments, and in none if it has none.
    """
    name, version = _model(model)
    scope = Scope(service)
    columns = tuple(dict.fromkeys(group_by or ("variant",)))
    selects = scope.selects(selector) if selector.strip() else None
    question = Question(
        group_by=columns,
        bucket=bucket,
        model=name,
        version=version,
        device=device,
        since_ms=since_ms or 0,
        until_ms=FOREVER_MS if until_ms is None else until_ms,
        selects=selects,
        segments=scope.segments() if "segment" in columns else lambda _: (),
        by_device=scope.by_device,
    )
    measures = KnownMeasures(service.store.fleet.registry)

    def view(merged: Aggregate) -> TelemetryView:
        return telemetry_view(merged, measures.of_all(merged.labels))

    found = page(_answer(service, question, limit, cursor), lambda m: m.key, view, limit, cursor)
    return TelemetryPage(
        items=found.items,
        next=found.next,
        reads="windows" if question.windows_only else "windows and roll-ups",
        windows_from_ms=service.store.telemetry.aggregates.windows_from_ms(),
    )


def _answer(service: Service, question: Question, limit: int, cursor: str | None) -> list[Aggregate]:
    """The aggregates of a question; with buckets, only as many as the page after the cursor needs."""
    aggregates = service.store.telemetry.aggregates
    if question.bucket == "none":
        return aggregates.answer(question)
    first_ms, last_ms = aggregates.extent()
    shown_ms = int(cursor[:15]) if cursor and re.match("[0-9]{15}", cursor) else 0
    since_ms, until_ms = max(question.since_ms, floor(first_ms, DAY_MS), shown_ms), min(question.until_ms, last_ms + 1)
    found: list[Aggregate] = []
    while since_ms < until_ms and len(found) <= limit:
        piece_ms = min(floor(since_ms, DAY_MS) + _PIECE_MS[question.bucket], until_ms)
        answered = aggregates.answer(replace(question, since_ms=since_ms, until_ms=piece_ms))
        found += [aggregate for aggregate in answered if cursor is None or aggregate.key > cursor]
        since_ms = piece_ms
    return found


def _model(ref: str | None) -> tuple[str | None, int | None]:
    if ref is None:
        return None, None
    if "@" in ref:
        return model_ref(ref)
    if not re.fullmatch(NAME_PATTERN, ref):
        raise Invalid(f"'{ref[:100]}' is not a model: write NAME or NAME@VERSION, for example fashion@1")
    return ref, None


class Scope:
    """Which measurements selectors and segments match.

    A selector of profile labels is matched against where a window was measured. Any other selector needs the devices
    that match it now, and sets `by_device`.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.by_device = False

    def selects(self, text: str) -> Callable[[Origin], bool]:
        """A function that says whether an origin matches a selector.

        Raises:
            Invalid: the selector cannot be parsed.
        """
        try:
            selector = compile_selector(text)
        except SelectorError as error:
            raise Invalid(str(error)) from None
        if all(requirement.key in PROFILE_LABELS for requirement in selector.requirements):
            return lambda source: self._matches(selector, source)
        self.by_device = True
        devices = {device.id for device in select(self._service.store.fleet, self._service.catalogue, text)}
        return lambda source: source.device in devices

    def segments(self) -> Callable[[Origin], tuple[str, ...]]:
        """A function that gives the segments of an origin."""
        saved = {s.name: self.selects(s.selector) for s in self._service.store.fleet.segments.all()}
        return lambda source: tuple(name for name, matches in saved.items() if matches(source))

    def _matches(self, selector: Selector, source: Origin) -> bool:
        given = {"region": source.region, "hardware": source.hardware, "link": source.link}
        labels = {key: value for key, value in given.items() if value is not None}
        try:
            profile = self._service.catalogue.profile("/".join(labels.values()))
        except ProfileError:
            return selector.matches(labels)
        return selector.matches(labels_of(profile.region, profile.hardware, profile.link))
