"""Blobs and models."""

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from edgefleet_contract.base import ModelRef
from edgefleet_contract.models import ModelView, NewModel
from edgefleet_contract.pages import Page
from edgefleet_contract.uploads import UploadOffer, UploadVerdict
from edgefleet_controller.api.dependencies import TheService, model_ref
from edgefleet_controller.api.pages import Cursor, PageLimit, page
from edgefleet_controller.api.problem import problems
from edgefleet_controller.api.showing import model_view
from edgefleet_controller.models.offering import judge_offer
from edgefleet_controller.models.registration import register_model, take_upload
from edgefleet_controller.models.removal import remove_model
from edgefleet_protocol.fields import Digest

router = APIRouter(tags=["registry"])


@router.put(
    "/blobs/{sha256}",
    status_code=204,
    openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}},
    responses=problems(400, 413),
)
async def put_blob(service: TheService, sha256: Digest, request: Request) -> None:
    """Upload a file under its sha256."""
    # The only async route; it writes to disk in other threads, so that other requests don't wait.
    with service.blobs.receive(sha256) as upload:
        async for block in request.stream():
            await run_in_threadpool(upload.write, block)
        await run_in_threadpool(upload.finish)
    await run_in_threadpool(take_upload, service.store.fleet, service.blobs, sha256, upload.size_bytes)


@router.post("/blobs/{sha256}/offer", responses=problems(400, 413, 422, 503))
def offer_blob(service: TheService, sha256: Digest, offered: UploadOffer) -> UploadVerdict:
    """Judge a file by its size and beginning before it is uploaded, and say whether the controller holds it already."""
    return judge_offer(service.store.fleet, service.blobs, sha256, offered)


@router.post("/models", status_code=201, responses=problems(400, 404, 409, 413))
def add_model(service: TheService, new: NewModel) -> ModelView:
    """Register a model version from uploaded files."""
    service.blobs.keep(new.files.values())
    registered = register_model(service.store.fleet, service.blobs, service.catalogue, new.files)
    told = {"not_checked": registered.not_checked, "remarks": registered.remarks}
    return model_view(registered.model).model_copy(update=told)


@router.get("/models")
def list_models(service: TheService, limit: PageLimit = 100, cursor: Cursor = None) -> Page[ModelView]:
    """Registered model versions."""
    found = service.store.fleet.registry.models()
    return page(found, lambda m: f"{m.name}@{m.version:09d}", model_view, limit, cursor)


@router.get("/models/{ref}", responses=problems(404))
def get_model(service: TheService, ref: ModelRef) -> ModelView:
    """One model version."""
    return model_view(service.store.fleet.registry.model(*model_ref(ref)))


@router.delete("/models/{ref}", status_code=204, responses=problems(404, 409))
def delete_model(service: TheService, ref: ModelRef) -> None:
    """Remove a model version unless a running rollout, a device or a build needs it; its blobs are removed later."""
    remove_model(service.store.fleet, *model_ref(ref))
