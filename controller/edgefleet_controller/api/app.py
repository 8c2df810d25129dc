"""The FastAPI application; run as a module, it prints the OpenAPI description (docs/openapi.json)."""

import functools
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from socket import gethostname
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import BaseRoute

from edgefleet_controller.api import (
    alerts,
    builds,
    choices,
    fleet,
    health,
    metrics,
    registry,
    rollouts,
    telemetry,
    variants,
)
from edgefleet_controller.api.auth import BEARER, RequireToken
from edgefleet_controller.api.exactness import refuse_inexact
from edgefleet_controller.api.foreign_pages import RefuseForeignPages
from edgefleet_controller.api.limits import LimitBodies
from edgefleet_controller.api.problem import add_problems, describe_problems, problems
from edgefleet_controller.service import Service

FOR_ALL = [Depends(BEARER), Depends(refuse_inexact)]
"""What every route depends on."""


def create_app(service: Service | None = None) -> FastAPI:
    """The application; without a service, only for its description."""
    app: FastAPI = FastAPIOffline(
        title="edgefleet", version=version("edgefleet"), summary="Deploy AI models to edge fleets"
    )
    app.state.service = service
    add_problems(app)
    app.add_middleware(LimitBodies)
    credentials = service.access.credentials if service else None
    names = (gethostname(), *(service.settings.allow_hosts if service else ()))
    app.add_middleware(RefuseForeignPages, names=None if credentials else names)
    if credentials:
        app.add_middleware(RequireToken, credentials=credentials)  # added last, asked first
    app.router.routes.extend(_routes())
    app.openapi = _describer(app)  # type: ignore[method-assign]  # as the FastAPI docs say
    return app


@functools.cache
def _routes() -> list[BaseRoute]:
    """All routes; they find the service by the request, so that every application of this process may have them."""
    every, api = APIRouter(), APIRouter(prefix="/api/v1")
    for part in (registry, builds, choices, variants, fleet, rollouts, alerts, telemetry, health):
        api.include_router(part.router)
    for router in (api, metrics.router):
        every.include_router(router, dependencies=FOR_ALL, responses=problems(401, 403, 422, 503))
    return every.routes


def _describer(app: FastAPI) -> Callable[[], dict[str, Any]]:
    described = app.openapi

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            describe_problems(described())
        return described()

    return describe


def openapi_text() -> str:
    """The OpenAPI description, as checked in."""
    return json.dumps(create_app().openapi(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_text())
