"""Alerts: what needs an operator's look."""

from typing import Annotated

from fastapi import APIRouter, Query

from edgefleet_contract.alerts import AlertRecord, AlertState
from edgefleet_contract.pages import Page
from edgefleet_controller.api.dependencies import TheService
from edgefleet_controller.api.pages import Cursor, PageLimit, page

router = APIRouter(tags=["alerts"])


@router.get("/alerts")
def list_alerts(
    service: TheService,
    state: Annotated[AlertState | None, Query(description="only alerts in this state")] = None,
    limit: PageLimit = 100,
    cursor: Cursor = None,
) -> Page[AlertRecord]:
    """Alerts, by kind and rollout; ended ones for as long as roll-ups are kept."""
    return page(service.store.fleet.alerts.all(state=state), lambda a: a.id, lambda a: a, limit, cursor)
