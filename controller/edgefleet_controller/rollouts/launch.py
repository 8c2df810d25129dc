"""Planning and starting rollouts: from a spec and the fleet as stored to waves of executions."""

from collections.abc import Mapping

from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import Refused
from edgefleet_controller.failpoints import reach
from edgefleet_controller.ids import new_id
from edgefleet_controller.records import DeviceRecord, DeviceStatus, RolloutRecord, RolloutSpec
from edgefleet_controller.rollouts.matching import Matcher
from edgefleet_controller.rollouts.plan import Assigned, Plan, PlannedDevice, plan
from edgefleet_controller.store import Store
from edgefleet_controller.store.members import Member
from edgefleet_profiles.catalogue import Catalogue

READ_AT_ONCE = 1000
"""Devices, where only some of the fleet are wanted."""


def labels(device: DeviceRecord, catalogue: Catalogue) -> Mapping[str, str]:
    """The labels of a device, as selectors see them."""
    return Matcher(catalogue, "").labels(device.profile, device.reported.labels)


def select(
    store: Store,
    catalogue: Catalogue,
    selector: str,
    status: DeviceStatus | None = "accepted",
    *,
    after: str = "",
    at_most: int | None = None,
) -> list[Member]:
    """The devices that a selector matches, by id.

    Args:
        store: the fleet.
        catalogue: what follows from a profile.
        selector: which devices.
        status: only of this status; None for any.
        after: only those whose ids come after this one.
        at_most: how many; no more of the fleet is read than it takes to find them.

    Raises:
        Invalid: the selector cannot be parsed.
    """
    matches = Matcher(catalogue, selector).matches
    if at_most is None:
        return [device for device in store.members.all(status=status, after=after) if matches(device)]
    found: list[Member] = []
    while len(found) < at_most:
        read = store.members.all(status=status, after=after, at_most=READ_AT_ONCE)
        found += [device for device in read if matches(device)]
        if len(read) < READ_AT_ONCE:
            break
        after = read[-1].id
    return found[:at_most]


def plan_rollout(store: Store, catalogue: Catalogue, spec: RolloutSpec) -> tuple[RolloutSpec, Plan]:
    """What `start` would do, with the selector of the named segment filled in.

    Raises:
        NotFound: no such model or segment.
        Refused: nothing was built for the model, or another rollout wants one of the devices.
    """
    store.registry.model(spec.model, spec.version)
    selector = store.devices.segment(spec.segment).selector if spec.segment else spec.selector
    matcher = Matcher(catalogue, selector)
    # In its canonical form: who is in which wave must not depend on how a selector is written.
    spec = spec.model_copy(update={"selector": str(matcher.selector)})
    devices = [device for device in store.members.all(spec.model) if matcher.matches(device)]
    if not devices:
        raise Refused(f"no device matches '{spec.selector or spec.segment or 'everything'}'")
    taken = store.rollouts.open_devices(spec.model)
    if clash := next((d.id for d in devices if d.id in taken), None):
        raise Refused(f"{clash} is part of rollout {taken[clash]} for '{spec.model}': wait for it or abort it first")
    conflicts = store.conflicts.all()
    targets = [target(device, in_conflict=device.id in conflicts) for device in devices]
    return spec, plan(new_id(), spec, targets, assigned(store, spec), now_ms())


def start_rollout(store: Store, catalogue: Catalogue, spec: RolloutSpec) -> RolloutRecord:
    """Plan a rollout and set it running; raises as `plan_rollout` does."""
    with store.rollouts.transaction():
        spec, planned = plan_rollout(store, catalogue, spec)
        now = now_ms()
        rollout = RolloutRecord(
            id=planned.executions[0].rollout,
            spec=spec,
            state="running",
            waves=planned.waves,
            created_ms=now,
            changed_ms=now,
        )
        store.rollouts.put(rollout)
        reach("rollout_written")
        store.rollouts.put_executions(planned.executions)
        reach("executions_written")
        store.rollouts.note(now, "rollout running", rollout.id, f"{len(planned.executions)} devices")
    reach("rollout_committed")
    return rollout


def target(device: Member, *, in_conflict: bool = False) -> PlannedDevice:
    """A device as plans see it."""
    return PlannedDevice(device.id, device.profile, device.variant, in_conflict)


def assigned(store: Store, spec: RolloutSpec) -> dict[str, Assigned]:
    """The variant chosen for each profile.

    Raises:
        Refused: nothing was built for the model.
    """
    variants = {v.id: v for v in store.registry.variants(spec.model, spec.version)}
    if not variants:
        raise Refused(f"nothing was built for {spec.model}@{spec.version}: compress it first")
    return {
        choice.profile: Assigned(
            choice.variant, variants[choice.variant].manifest, variants[choice.variant].manifest_bytes
        )
        for choice in store.registry.choices(spec.model, spec.version)
        if choice.variant
    }
