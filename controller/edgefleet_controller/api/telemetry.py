"""Telemetry: latency percentiles, accuracy and counts."""

from typing import Annotated

from fastapi import APIRouter, Query

from edgefleet_controller.api.dependencies import TheService, model_ref
from edgefleet_controller.api.pages import Page
from edgefleet_controller.api.views import TelemetryView
from edgefleet_controller.store.telemetry import GroupBy

router = APIRouter(tags=["telemetry"])


@router.get("/telemetry")
def telemetry(
    service: TheService,
    group_by: Annotated[list[GroupBy] | None, Query(description="columns to keep apart")] = None,
    model: str | None = None,
    device: str | None = None,
    since_ms: Annotated[int, Query(ge=0)] = 0,
) -> Page[TelemetryView]:
    """Windows merged by the given columns."""
    name, version = model_ref(model) if model else (None, None)
    found = service.store.telemetry.aggregate(
        tuple(group_by or ("variant",)), model=name, version=version, device=device, since_ms=since_ms
    )
    return Page(items=[TelemetryView.of(merged) for merged in found])
