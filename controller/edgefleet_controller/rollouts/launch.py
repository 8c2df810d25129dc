"""Planning and starting rollouts: from a spec and the fleet as stored to waves of executions."""

from collections.abc import Mapping, Sequence

from edgefleet_controller.errors import Invalid, Refused
from edgefleet_controller.failpoints import reach
from edgefleet_controller.ids import new_id, now_ms
from edgefleet_controller.records import DeviceRecord, DeviceStatus, ExecutionRecord, RolloutRecord, RolloutSpec
from edgefleet_controller.rollouts.plan import Assigned, Plan, Target, join, plan
from edgefleet_controller.store import Store
from edgefleet_profiles.catalogue import Catalogue
from edgefleet_profiles.errors import ProfileError, SelectorError
from edgefleet_profiles.selector import compile_selector, labels_of


def labels(device: DeviceRecord, catalogue: Catalogue) -> Mapping[str, str]:
    """The labels that selectors see: region, hardware, link, what follows from them, and the device's own."""
    facts = device.facts
    try:
        profile = catalogue.profile(device.profile)
    except ProfileError:
        own = {"region": facts.region, "hardware": facts.hardware, "link": facts.link}
        return {**device.reported.labels, **own}
    return labels_of(profile.region, profile.hardware, profile.link, device.reported.labels)


def select(
    store: Store, catalogue: Catalogue, selector: str, status: DeviceStatus | None = "accepted"
) -> list[DeviceRecord]:
    """The devices of one status, or of any, that a selector matches.

    Raises:
        Invalid: the selector cannot be parsed.
    """
    try:
        compiled = compile_selector(selector)
    except SelectorError as error:
        raise Invalid(str(error)) from None
    return [device for device in store.devices.all(status) if compiled.matches(labels(device, catalogue))]


def plan_rollout(store: Store, catalogue: Catalogue, spec: RolloutSpec) -> tuple[RolloutSpec, Plan]:
    """What `start` would do, with the selector of the named segment filled in.

    Raises:
        NotFound: no such model or segment.
        Refused: nothing was built for the model, or another rollout wants one of the devices.
    """
    store.registry.model(spec.model, spec.version)
    if spec.segment:
        spec = spec.model_copy(update={"selector": store.devices.segment(spec.segment).selector})
    devices = select(store, catalogue, spec.selector)
    if not devices:
        raise Refused(f"no device matches '{spec.selector or spec.segment or 'everything'}'")
    taken = store.rollouts.open_devices(spec.model)
    if clash := next((d.id for d in devices if d.id in taken), None):
        raise Refused(f"{clash} is part of rollout {taken[clash]} for '{spec.model}': wait for it or abort it first")
    conflicts = store.conflicts.all()
    targets = [Target(d.id, d.profile, _answering(d, spec.model), d.id in conflicts) for d in devices]
    return spec, plan(new_id(), spec, targets, _assigned(store, spec), now_ms())


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


def late_joiners(
    store: Store, catalogue: Catalogue, rollout: RolloutRecord, executions: Sequence[ExecutionRecord]
) -> list[ExecutionRecord]:
    """Executions for devices that match a running rollout and appeared after its start."""
    known = {e.device for e in executions}
    spec = rollout.spec
    new = [d for d in select(store, catalogue, spec.selector) if d.id not in known]
    if not new:
        return []
    taken = store.rollouts.open_devices(spec.model).keys() | store.conflicts.all().keys()
    choices, now = _assigned(store, spec), now_ms()
    targets = [Target(d.id, d.profile, _answering(d, spec.model)) for d in new if d.id not in taken]
    return [join(rollout, target, choices, now) for target in targets]


def _answering(device: DeviceRecord, model: str) -> str | None:
    reported = device.reported.models.get(model)
    return reported.answering.variant if reported and reported.answering else None


def _assigned(store: Store, spec: RolloutSpec) -> dict[str, Assigned]:
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
