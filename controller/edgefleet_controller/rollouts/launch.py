"""Planning and starting rollouts: from a spec and the stored fleet to waves of executions."""

from collections.abc import Callable, Iterable, Mapping

from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import Refused
from edgefleet_controller.failpoints import reach
from edgefleet_controller.ids import new_id
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.likeness import added_otherwise
from edgefleet_controller.rollouts.matching import Matcher
from edgefleet_controller.rollouts.memory_room import UNKNOWN_ROOM, DeviceRoom
from edgefleet_controller.rollouts.offers import Offer, offer
from edgefleet_controller.rollouts.plan import Plan, PlannedDevice, VariantChange, plan
from edgefleet_controller.rollouts.rooms import rooms
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.members import Member
from edgefleet_controller.store.measures import measure_of
from edgefleet_profiles.catalogue import Catalogue

ChangeCheck = Callable[[RolloutSpec, Mapping[VariantChange, int]], object]
"""Raises Refused if devices must not go from one variant to another; the numbers are how many would."""


def plan_rollout(fleet: FleetStore, catalogue: Catalogue, spec: RolloutSpec) -> tuple[RolloutSpec, Plan]:
    """What `start` would do, with the selector of the named segment filled in.

    Raises:
        NotFound: the model or the segment doesn't exist.
        Refused: no device matches, nothing was built for the model, a device is part of another rollout, or the gate
            requires what can never be judged.
    """
    fleet.registry.model(spec.model, spec.version)
    if "accuracy" in spec.gate.require and not measure_of(fleet.registry, spec.model, spec.version).scored:
        ref = f"{spec.model}@{spec.version}"
        raise Refused(
            f"the gate's require=accuracy can never be met: single answers of {ref} have no score; leave it out"
        )
    selector = _selector_of(fleet, spec.segment) if spec.segment else spec.selector
    matcher = Matcher(catalogue, selector)
    # In canonical form, so that waves don't depend on how the selector is written.
    spec = spec.model_copy(update={"selector": str(matcher.selector)})
    devices = [device for device in fleet.members.all(spec.model) if matcher.matches(device)]
    if not devices:
        named = spec.selector or spec.segment or "everything"
        slips = matcher.doubts(fleet.members.all(status=None))
        raise Refused("; ".join((f"no device matches '{named}': see `edgefleet device list`", *slips)))
    refuse_owned(fleet, spec.model, [device.id for device in devices])
    conflicts = fleet.conflicts.all()
    room = rooms(fleet, spec.model, [device.id for device in devices])
    targets = [target(one, room.get(one.id, UNKNOWN_ROOM), in_conflict=one.id in conflicts) for one in devices]
    return spec, plan(new_id(), spec, targets, offers(fleet, spec), now_ms())


def _selector_of(fleet: FleetStore, segment: str) -> str:
    selector = fleet.segments.get(segment).selector
    if not selector:  # older controllers took a blank one
        raise Refused(f"segment '{segment}' has a blank selector: save it again with one, or ask for everyone")
    return selector


def start_rollout(
    fleet: FleetStore, catalogue: Catalogue, spec: RolloutSpec, check: ChangeCheck = lambda spec, changes: None
) -> RolloutRecord:
    """Plan a rollout and start it; it ends at once if no device has anything to install.

    Raises what `plan_rollout` and `check` raise.
    """
    with fleet.transaction():
        spec, planned = plan_rollout(fleet, catalogue, spec)
        check(spec, planned.changes)
        now = now_ms()
        end = planned.end
        rollout = RolloutRecord(
            id=planned.executions[0].rollout,
            spec=spec,
            state=end.state if end else "running",
            reason=end.reason if end else None,
            waves=planned.waves,
            created_ms=now,
            changed_ms=now,
        )
        fleet.rollouts.put(rollout)
        reach("rollout_written")
        fleet.rollouts.put_executions(planned.executions)
        reach("executions_written")
        fleet.audit.note(now, "rollout running", rollout.id, counted(len(planned.executions), "device"))
        if end:
            fleet.audit.note(now, f"rollout {end.state}", rollout.id, end.reason)
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


def target(device: Member, room: DeviceRoom, *, in_conflict: bool = False) -> PlannedDevice:
    """A device in the form that plans take."""
    otherwise = added_otherwise(device.added_as, device.profile)
    return PlannedDevice(device.id, device.profile, device.variant, in_conflict, device.features, otherwise, room)


def offers(fleet: FleetStore, spec: RolloutSpec) -> dict[str, Offer]:
    """By profile that something was chosen for, the variant, or why there is none.

    Raises:
        Refused: nothing was built for the model.
    """
    variants = {v.id: v for v in fleet.registry.variants(spec.model, spec.version)}
    if not variants:
        raise Refused(f"nothing was built for {spec.model}@{spec.version}: compress it first")
    return {c.profile: offer(c, variants) for c in fleet.registry.choices(spec.model, spec.version)}
