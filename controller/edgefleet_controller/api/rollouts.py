"""Rollouts: plan, start, watch."""

from fastapi import APIRouter

from edgefleet_contract.pages import Page
from edgefleet_contract.rollouts import (
    ExecutionRecord,
    PlannedExecutionView,
    PlanView,
    RejectedView,
    RolloutSpec,
    RolloutView,
    UnknownRoomView,
    fault_of,
)
from edgefleet_controller.api.dependencies import TheService
from edgefleet_controller.api.pages import Cursor, PageLimit, page
from edgefleet_controller.api.problem import problems
from edgefleet_controller.api.showing import rollout_view
from edgefleet_controller.api.windows import waits_of, window_views
from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import Invalid
from edgefleet_controller.models.costs import energy_costs
from edgefleet_controller.models.fetches import fetches
from edgefleet_controller.models.slow_links import slow_links
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.launch import plan_rollout, start_rollout
from edgefleet_controller.rollouts.orders import Verb
from edgefleet_controller.rollouts.ways_back import rejections
from edgefleet_controller.store.contract.devices import NOTHING_KNOWN
from edgefleet_controller.store.contract.rollouts import IN_PROGRESS

router = APIRouter(tags=["rollouts"])


def _view(service: TheService, rollout: RolloutRecord) -> RolloutView:
    store = service.store.fleet.rollouts
    view = rollout_view(
        rollout,
        store.counts(rollout.id),
        store.counts_back(rollout.id),
        store.returns(rollout.id),
        service.store.fleet.alerts.all(rollout=rollout.id),
        store.downloads(rollout.id) if rollout.state in IN_PROGRESS else (),
    )
    if not service.windows or rollout.state not in IN_PROGRESS:
        return view
    tallies, now = store.tallies(rollout.id), now_ms()
    waits = {wave.number: waits_of(service.windows, wave, tallies, now) for wave in rollout.waves}
    waves = [wave.model_copy(update={"waits": waits[wave.number]}) for wave in view.waves]
    windows = window_views(service.windows, {tally.profile for tally in tallies}, now)
    return view.model_copy(update={"waves": waves, "windows": windows})


def _check(asked: RolloutSpec) -> None:
    if fault := fault_of(asked):
        raise Invalid(fault)


@router.post("/rollouts/plan", responses=problems(400, 404, 409, 413))
def plan(service: TheService, spec: RolloutSpec) -> PlanView:
    """What starting this rollout would do."""
    _check(spec)
    spec, planned = plan_rollout(service.store.fleet, service.catalogue, spec)
    pairs = service.pairs.checked(spec, planned.changes)
    windows = window_views(service.windows, {e.profile for e in planned.executions}, now_ms())
    end = planned.end and f"{planned.end.state}: {planned.end.reason}"
    variants = {v.id: v for v in service.store.fleet.registry.variants(spec.model, spec.version)}
    known = service.store.fleet.devices.on_devices(e.device for e in planned.executions)
    executions = []
    for e in planned.executions:
        on_device = known.get(e.device, NOTHING_KNOWN)
        found = fetches(service.catalogue, variants, e, on_device, service.manifests.find)
        executions.append(
            PlannedExecutionView(**e.__dict__, fetches_bytes=found.size_bytes, holds_model=found.holds_model)
        )
    return PlanView(
        model=f"{spec.model}@{spec.version}",
        selector=spec.selector,
        windows=windows,
        ends_at_once=end,
        waves=[[e for e in executions if e.wave == wave.number] for wave in planned.waves],
        pairs=pairs,
        first_installs=planned.first,
        room_unknown=tuple(UnknownRoomView(why=why, devices=n) for why, n in sorted(planned.room_unknown.items())),
        energy_costs=energy_costs(service.catalogue, variants, ((e.profile, e.variant) for e in planned.executions)),
        slow_links=slow_links(service.catalogue, executions, service.store.fleet.devices.measured_kbps()),
        rejected=tuple(
            RejectedView(profile=v.profile, variant=v.variant, rollout=v.rollout, at_ms=v.at_ms)
            for v in rejections(planned.executions, service.store.fleet.verdicts.of(spec.model))
        ),
    )


@router.post("/rollouts", status_code=201, responses=problems(400, 404, 409, 413))
def start(service: TheService, spec: RolloutSpec) -> RolloutView:
    """Start a rollout."""
    _check(spec)
    service.delivery.check(spec.model, spec.version)
    # Compared here and looked up there, as comparing takes longer than the store may be held.
    planned_spec, planned = plan_rollout(service.store.fleet, service.catalogue, spec)
    service.pairs.checked(planned_spec, planned.changes)
    return _view(service, start_rollout(service.store.fleet, service.catalogue, spec, service.pairs.checked))


def _ordered(service: TheService, verb: Verb, rollout: str) -> RolloutView:
    for manifest in service.conductor.order(verb, rollout):
        service.delivery.withdraw(manifest)
    return _view(service, service.store.fleet.rollouts.get(rollout))


@router.post("/rollouts/{rollout}/pause", responses=problems(404, 409))
def pause(service: TheService, rollout: str) -> RolloutView:
    """Pause: no more devices switch until the rollout is resumed."""
    return _ordered(service, "pause", rollout)


@router.post("/rollouts/{rollout}/resume", responses=problems(404, 409))
def resume(service: TheService, rollout: str) -> RolloutView:
    """Resume; a wave that failed or was inconclusive is judged again."""
    return _ordered(service, "resume", rollout)


@router.post("/rollouts/{rollout}/abort", responses=problems(404, 409))
def abort(service: TheService, rollout: str) -> RolloutView:
    """Abort: stop transfers and switches; devices that have committed stay as they are."""
    return _ordered(service, "abort", rollout)


@router.post("/rollouts/{rollout}/rollback", responses=problems(404, 409))
def rollback(service: TheService, rollout: str) -> RolloutView:
    """Roll back: every device returns to what it ran before, from its own disk."""
    return _ordered(service, "rollback", rollout)


@router.get("/rollouts")
def list_rollouts(service: TheService, limit: PageLimit = 100, cursor: Cursor = None) -> Page[RolloutView]:
    """All rollouts, oldest first."""
    return page(service.store.fleet.rollouts.all(), lambda r: r.id, lambda r: _view(service, r), limit, cursor)


@router.get("/rollouts/{rollout}", responses=problems(404))
def get_rollout(service: TheService, rollout: str) -> RolloutView:
    """One rollout, wave by wave."""
    return _view(service, service.store.fleet.rollouts.get(rollout))


@router.get("/rollouts/{rollout}/executions", responses=problems(404))
def list_executions(
    service: TheService, rollout: str, limit: PageLimit = 100, cursor: Cursor = None
) -> Page[ExecutionRecord]:
    """The devices of a rollout, each with its phase."""
    store = service.store.fleet.rollouts
    store.get(rollout)
    found = store.page_of_executions(rollout, after=cursor or "", at_most=limit + 1)
    return page(found, lambda e: e.device, lambda e: e, limit, cursor)
