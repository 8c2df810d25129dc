"""The controller's service in the test's own process, and its API on a port of its own."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from edgefleet_contract.card import parse_card
from edgefleet_controller.api.app import create_app
from edgefleet_controller.api.connections import BoundedConnection
from edgefleet_controller.records import ModelRecord
from edgefleet_controller.service import Service
from edgefleet_controller.settings import ControllerSettings

MARKED = {"X-Requested-With": "tests"}
"""What a POST without JSON needs."""


@contextlib.contextmanager
def running_service(state: Path, *, tick_s: float = 0.05, **settings: Any) -> Iterator[Service]:
    """A service that ticks often."""
    service = Service(ControllerSettings(state=state, tick_s=tick_s, **settings))
    service.start()
    try:
        yield service
    finally:
        service.stop()


PARTS = ("weights.safetensors", "data.npz")
EXAMPLE = Path(__file__).parents[1] / "examples" / "fashion"


def hold_example(service: Service) -> None:
    """Let a service have fashion@1, without the check of its files, which is left to a process with torch."""
    files = {name: service.blobs.put((EXAMPLE / name).read_bytes()) for name in ("model.toml", *PARTS)}
    registry = service.store.fleet.registry
    for name, sha256 in files.items():
        registry.put_blob(sha256, (EXAMPLE / name).stat().st_size, deliverable=False)
    card = parse_card((EXAMPLE / "model.toml").read_text())
    if registry.find_model(card.name, card.version) is None:
        registry.put_model(ModelRecord(name=card.name, version=card.version, files=files, card=card, created_ms=1))


@contextlib.contextmanager
def api_of(of: Service | FastAPI, connection: type[BoundedConnection] = BoundedConnection) -> Iterator[str]:
    """Serve a service's API; gives the address."""
    app = of if isinstance(of, FastAPI) else create_app(of)
    server = uvicorn.Server(uvicorn.Config(app, http=connection, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
