"""Variants, and rebuilding them."""

from fastapi import APIRouter

from edgefleet_contract.base import ModelRef
from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.pages import Page
from edgefleet_contract.variants import VariantView
from edgefleet_controller.api.dependencies import TheService, model_ref
from edgefleet_controller.api.pages import Cursor, PageLimit, page
from edgefleet_controller.api.problem import problems
from edgefleet_controller.api.showing import variant_view
from edgefleet_controller.errors import NotFound
from edgefleet_controller.models.costs import energy_costs
from edgefleet_controller.models.rebuild import find_original
from edgefleet_controller.records import VariantRecord
from edgefleet_controller.service import Service

router = APIRouter(tags=["registry"])


@router.get("/variants", responses=problems(404))
def list_variants(
    service: TheService, model: ModelRef | None = None, limit: PageLimit = 100, cursor: Cursor = None
) -> Page[VariantView]:
    """The variants of one model version, or of all."""
    registry = service.store.fleet.registry
    if model is None:
        found = registry.variants()
    else:
        known = registry.model(*model_ref(model))
        found = registry.variants(known.name, known.version)
    return page(found, lambda v: f"{v.model}@{v.version:09d}/{v.id}", variant_view, limit, cursor)


@router.get("/variants/{variant}", responses=problems(404))
def get_variant(service: TheService, variant: str) -> VariantView:
    """A variant by its id."""
    found = _variant(service, variant)
    choices = service.store.fleet.registry.choices(found.model, found.version)
    gets = ((choice.profile, choice.variant) for choice in choices)
    return variant_view(found).model_copy(
        update={"energy_costs": energy_costs(service.catalogue, {found.id: found}, gets)}
    )


@router.post("/variants/{variant}/rebuilds", status_code=202, responses=problems(404, 409))
def start_rebuild(service: TheService, variant: str) -> OperationRecord:
    """Rebuild a variant from its lineage without the cache, and compare; returns the operation to follow."""
    original = find_original(service.store.fleet, service.blobs, _variant(service, variant))
    return service.operations.rebuild(original)


def _variant(service: Service, variant: str) -> VariantRecord:
    found = next((v for v in service.store.fleet.registry.variants() if v.id == variant), None)
    if found is None:
        raise NotFound(f"there is no variant {variant}: `edgefleet variant list` shows all")
    return found
