"""Builds by recipes or by a search, their operations, and the reports of searches."""

import logging
from typing import Any

from fastapi import APIRouter, Body, Response

from edgefleet_compression.errors import CompressionError
from edgefleet_compression.kinds import SourceKind
from edgefleet_compression.recipes.recipe import Recipe, new_recipe, shipped_recipes
from edgefleet_compression.search.bounds import Bounds
from edgefleet_compression.search.targets import SearchTarget, targets_of
from edgefleet_contract.builds import NewBuild, NewSearch
from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.pages import Page
from edgefleet_contract.searches import SearchReport
from edgefleet_controller.api.dependencies import TheService, model_ref
from edgefleet_controller.api.pages import Cursor, PageLimit, page
from edgefleet_controller.api.problem import problems
from edgefleet_controller.errors import Invalid, NotFound
from edgefleet_controller.models.by_search import Quest, read_picture, read_report
from edgefleet_controller.service import Service
from edgefleet_profiles.device_class import InstructionSet
from edgefleet_profiles.errors import ProfileError
from edgefleet_profiles.profile import DeviceProfile
from edgefleet_profiles.spelling import nearest

router = APIRouter(tags=["builds"])
log = logging.getLogger(__name__)


@router.post("/builds", status_code=202, responses=problems(400, 404, 413))
def start_build(service: TheService, new: NewBuild = Body()) -> OperationRecord:
    """Compress a model in the background; returns the operation to follow."""
    model = service.store.fleet.registry.model(*model_ref(new.model))
    profiles = _of_the_fleet(service) if new.profiles is None else _profiles(service, new.profiles)
    if new.search is not None:
        if new.recipes:
            raise Invalid("a search chooses its own recipes: leave out either recipes or search")
        return service.operations.search(model, profiles, _quest(service, new.search, profiles))
    if not profiles:
        raise Invalid("no device of a known profile has reported yet: name the profiles to compress for")
    return service.operations.submit(model, profiles, _recipes(new.recipes, model.card.source))


def _of_the_fleet(service: Service) -> list[DeviceProfile]:
    """The profiles of all devices, but those that no entry describes: `doctor` names these devices."""
    known: list[DeviceProfile] = []
    for name in service.store.fleet.members.profiles():
        try:
            known.append(service.catalogue.profile(name))
        except ProfileError as error:
            log.warning("nothing is compressed for %s: %s", name, error)
    return known


def _profiles(service: Service, names: list[str]) -> list[DeviceProfile]:
    try:
        return [service.catalogue.profile(name) for name in names]
    except ProfileError as error:
        raise Invalid(str(error)) from None


def _recipes(given: list[str | dict[str, Any]] | None, source: SourceKind) -> list[Recipe]:
    """The requested recipes, given by name or as tables; without any, those for what the model comes as."""
    shipped = shipped_recipes()
    found: dict[str, Recipe] = {}
    usual = [name for name, recipe in shipped.items() if source == "brought" or not recipe.is_for_files]
    for one in given or usual:
        try:
            recipe = new_recipe(one) if isinstance(one, dict) else shipped[one]
        except CompressionError as error:
            raise Invalid(str(error)) from None
        except KeyError:
            raise Invalid(f"there is no recipe '{one}': {nearest(str(one), shipped)}") from None
        if found.setdefault(recipe.name, recipe) != recipe:
            raise Invalid(f"two recipes are called '{recipe.name}': rename one")
    return list(found.values())


def _quest(service: Service, asked: NewSearch, profiles: list[DeviceProfile]) -> Quest:
    """The requested search; classes without a profile take their hardware from the catalogue."""
    known = {target.instruction_set: target for target in targets_of(service.catalogue.board_profiles())}
    known |= {target.instruction_set: target for target in targets_of(profiles)}
    classes = asked.classes or [t.instruction_set for t in targets_of(profiles)] or list(known)
    targets = tuple(known.get(one) or SearchTarget(one) for one in dict.fromkeys(classes))
    given = asked.constraints
    bounds = Bounds(
        max_drop=given.max_drop,
        latency_ratio=given.latency_ratio,
        encoding_bytes=given.encoding_bytes,
        peak_rss_mb=given.peak_rss_mb,
    )
    return Quest(asked.budget_min * 60, targets, asked.seed, bounds)


@router.get("/operations/{operation_id}", responses=problems(404))
def get_operation(service: TheService, operation_id: str) -> OperationRecord:
    """One operation and its progress."""
    return service.store.fleet.operations.get(operation_id)


@router.post("/operations/{operation_id}/cancel", responses=problems(404, 409))
def cancel_operation(service: TheService, operation_id: str) -> OperationRecord:
    """Cancel an operation that waits or runs: it ends within seconds, and keeps its finished steps in the cache."""
    return service.operations.cancel(operation_id)


@router.get("/operations")
def list_operations(service: TheService, limit: PageLimit = 100, cursor: Cursor = None) -> Page[OperationRecord]:
    """All operations, finished or not."""
    return page(service.store.fleet.operations.all(), lambda o: o.id, lambda o: o, limit, cursor)


@router.get("/operations/{operation_id}/search", responses=problems(404))
def get_search(service: TheService, operation_id: str) -> SearchReport:
    """What a search found: the front of each class, the table of orders, and every point with its reason."""
    known = service.store.fleet.operations.get(operation_id)
    found = read_report(service.operations.searches, known.id)
    if found is None:
        raise NotFound(f"operation {known.id} has no report: only the latest completed searches have one")
    return found


@router.get(
    "/operations/{operation_id}/search/{device_class}.svg",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}}}, **problems(404)},
)
def get_picture(service: TheService, operation_id: str, device_class: InstructionSet) -> Response:
    """The front of one device class as a picture."""
    known = service.store.fleet.operations.get(operation_id)
    found = read_picture(service.operations.searches, known.id, device_class)
    if found is None:
        raise NotFound(f"operation {known.id} has no picture for {device_class}: only a completed search has some")
    return Response(found, media_type="image/svg+xml")
