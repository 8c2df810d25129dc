"""Rollouts: plan, start, watch."""

from fastapi import APIRouter

from edgefleet_controller.api.pages import Cursor, Limit, Page, page
from edgefleet_controller.api.service import Owner
from edgefleet_controller.api.views import PlanView, RolloutView
from edgefleet_controller.launch import plan_rollout, start_rollout
from edgefleet_controller.records import ExecutionRecord, RolloutRecord, RolloutSpec

router = APIRouter(tags=["rollouts"])


def _view(owner: Owner, rollout: RolloutRecord) -> RolloutView:
    return RolloutView.of(rollout, owner.store.rollouts.counts(rollout.id))


@router.post("/rollouts/plan")
def plan(owner: Owner, spec: RolloutSpec) -> PlanView:
    """What starting this rollout would do now."""
    spec, planned = plan_rollout(owner.store, owner.catalogue, spec)
    waves = [[e for e in planned.executions if e.wave == wave.number] for wave in planned.waves]
    return PlanView(model=f"{spec.model}@{spec.version}", selector=spec.selector, waves=waves)


@router.post("/rollouts", status_code=201)
def start(owner: Owner, spec: RolloutSpec) -> RolloutView:
    """Start a rollout."""
    return _view(owner, start_rollout(owner.store, owner.catalogue, spec))


@router.get("/rollouts")
def list_rollouts(owner: Owner, limit: Limit = 100, cursor: Cursor = None) -> Page[RolloutView]:
    """All rollouts, the oldest first."""
    return page(owner.store.rollouts.all(), lambda r: r.id, lambda r: _view(owner, r), limit, cursor)


@router.get("/rollouts/{rollout}")
def get_rollout(owner: Owner, rollout: str) -> RolloutView:
    """One rollout, wave by wave."""
    return _view(owner, owner.store.rollouts.get(rollout))


@router.get("/rollouts/{rollout}/executions")
def list_executions(owner: Owner, rollout: str, limit: Limit = 100, cursor: Cursor = None) -> Page[ExecutionRecord]:
    """The devices of a rollout, each with its phase."""
    owner.store.rollouts.get(rollout)
    return page(owner.store.rollouts.executions(rollout), lambda e: e.device, lambda e: e, limit, cursor)
