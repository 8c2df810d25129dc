"""Planning and starting rollouts: from a spec and the stored fleet to waves of executions."""

from collections.abc import Iterable

from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import Refused
from edgefleet_controller.failpoints import reach
from edgefleet_controller.ids import new_id
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.matching import Matcher
from edgefleet_controller.rollouts.plan import Assigned, Plan, PlannedDevice, plan
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.members import Member
from edgefleet_profiles.catalogue import Catalogue


def plan_rollout(fleet: FleetStore, catalogue: Catalogue, spec: RolloutSpec) -> tuple[RolloutSpec, Plan]:
    """What `start` would do, with the selector of the named segment filled in.

    Raises:
        NotFound: the model or the segment doesn't exist.
        Refused: no device matches, nothing was built for the model, or a device is part of another rollout.
    """
    fleet.registry.model(spec.model, spec.version)
    selector = _selector_of(fleet, spec.segment) if spec.segment else spec.selector
    matcher = Matcher(catalogue, selector)
    # In canonical form, so that waves don't depend on how the selector is written.
    spec = spec.model_copy(update={"selector": str(matcher.selector)})
    devices = [device for device in fleet.members.all(spec.model) if matcher.matches(device)]
    if not devices:
        named = spec.selector or spec.segment or "everything"
        raise Refused(f"no device matches '{named}': see `edgefleet device list`")
    refuse_owned(fleet, spec.model, [device.id for device in devices])
    conflicts = fleet.conflicts.all()
    targets = [target(device, in_conflict=device.id in conflicts) for device in devices]
    return spec, plan(new_id(), spec, targets, assigned(fleet, spec), now_ms())


def _selector_of(fleet: FleetStore, segment: str) -> str:
    selector = fleet.segments.get(segment).selector
    if not selector:  # older controllers took a blank one
        raise Refused(f"segment '{segment}' has a blank selector: save it again with one, or ask for everyone")
    return selector


def start_rollout(fleet: FleetStore, catalogue: Catalogue, spec: RolloutSpec) -> RolloutRecord:
    """Plan a rollout and start it; raises what `plan_rollout` raises."""
    with fleet.transaction():
        spec, planned = plan_rollout(fleet, catalogue, spec)
        now = now_ms()
        rollout = RolloutRecord(
            id=planned.executions[0].rollout,
            spec=spec,
            state="running",
            waves=planned.waves,
            created_ms=now,
            changed_ms=now,
        )
        fleet.rollouts.put(rollout)
        reach("rollout_written")
        fleet.rollouts.put_executions(planned.executions)
        reach("executions_written")
        fleet.audit.note(now, "rollout running", rollout.id, f"{len(planned.executions)} devices")
    reach("rollout_committed")
    return rollout


def refuse_owned(fleet: FleetStore, model: str, devices: Iterable[str]) -> None:
    """Let no two rollouts move the same devices.

    Raises:
        Refused: a rollout that has not ended owns one of these devices for this model.
    """
    owners = fleet.rollouts.owners(model, devices)
    if device := min(owners, default=None):
        others = f" and {len(owners) - 1} more are" if len(owners) > 1 else " is"
        raise Refused(
            f"{device}{others} part of rollout {owners[device]} for '{model}', which has not ended: "
            "wait for it, or abort it first"
        )


def target(device: Member, *, in_conflict: bool = False) -> PlannedDevice:
    """A device in the form that plans take."""
    return PlannedDevice(device.id, device.profile, device.variant, in_conflict, device.features)


def assigned(fleet: FleetStore, spec: RolloutSpec) -> dict[str, Assigned]:
    """The variant chosen for each profile.

    Raises:
        Refused: nothing was built for the model.
    """
    variants = {v.id: v for v in fleet.registry.variants(spec.model, spec.version)}
    if not variants:
        raise Refused(f"nothing was built for {spec.model}@{spec.version}: compress it first")
    chosen = [
        (choice.profile, variants[choice.variant])
        for choice in fleet.registry.choices(spec.model, spec.version)
        if choice.variant
    ]
    return {profile: Assigned(v.id, v.manifest, v.manifest_bytes, v.needs) for profile, v in chosen}
