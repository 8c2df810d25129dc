"""The controller's own health."""

import os
import shutil
from importlib.metadata import version

from fastapi import APIRouter

from edgefleet_contract.health import HealthView, SetAsideView, StateView
from edgefleet_controller.api.dependencies import TheService
from edgefleet_controller.clock import now_ms
from edgefleet_controller.fleet.counts import ALL

router = APIRouter(tags=["fleet"])


@router.get("/health")
def health(service: TheService) -> HealthView:
    """Whether the controller is connected to the broker and can write its state, and what it set aside."""
    folder = service.settings.state
    return HealthView(
        status="ok" if service.bus.connected else "no broker",
        version=version("edgefleet"),
        now_ms=now_ms(),
        state=StateView(writable=os.access(folder, os.W_OK), free_bytes=shutil.disk_usage(folder).free),
        broker=str(service.bus.address),
        brokers=tuple(service.access.local_url.split(",")),
        messages={name: service.ingest.counts[name] for name in ALL},
        delivered_bytes=service.delivery.delivered_bytes(),
        damaged_blobs=sorted(service.delivery.damaged()),
        set_aside=[
            SetAsideView(at_ms=entry.at_ms, topic=entry.topic, why=entry.why)
            for entry in list(service.ingest.set_aside)
        ],
    )
