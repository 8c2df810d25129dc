"""Which variant of a model each profile gets, and why."""

from fastapi import APIRouter

from edgefleet_contract.base import ModelRef
from edgefleet_contract.choices import ChoiceView, ExplanationView
from edgefleet_contract.pages import Page
from edgefleet_controller.api.dependencies import TheService, model_ref
from edgefleet_controller.api.pages import Cursor, PageLimit, page
from edgefleet_controller.api.problem import problems
from edgefleet_controller.api.showing import choice_view, explanation_view
from edgefleet_controller.errors import NotFound
from edgefleet_controller.models.explaining import explain_choice
from edgefleet_profiles.errors import ProfileError

router = APIRouter(tags=["registry"])


@router.get("/models/{ref}/choices", responses=problems(404))
def list_choices(service: TheService, ref: ModelRef, limit: PageLimit = 100, cursor: Cursor = None) -> Page[ChoiceView]:
    """Which variant of a model version each profile gets, and why."""
    model = service.store.fleet.registry.model(*model_ref(ref))
    registry = service.store.fleet.registry
    variants = [variant.id for variant in registry.variants(model.name, model.version)]
    found = registry.choices(model.name, model.version)
    return page(found, lambda c: c.profile, lambda c: choice_view(c, variants), limit, cursor)


@router.get("/models/{ref}/choices/{region}/{hardware}/{link}", responses=problems(404, 409))
def get_choice(service: TheService, ref: ModelRef, region: str, hardware: str, link: str) -> ExplanationView:
    """Why one profile gets its variant of a model version, and what would flip the choice; nothing is built."""
    model = service.store.fleet.registry.model(*model_ref(ref))
    try:
        profile = service.catalogue.profile(f"{region}/{hardware}/{link}")
    except ProfileError as error:
        raise NotFound(str(error)) from None
    return explanation_view(model.ref, explain_choice(service.store.fleet, model, profile))
