"""Late joiners: devices that match a rollout only after its start, found among those that have changed."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from edgefleet_contract.rollouts import ExecutionRecord, RolloutSpec
from edgefleet_controller.clock import now_ms
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.launch import offers, target
from edgefleet_controller.rollouts.likeness import added_otherwise
from edgefleet_controller.rollouts.matching import Matcher
from edgefleet_controller.rollouts.memory_room import UNKNOWN_ROOM
from edgefleet_controller.rollouts.plan import VariantChange, change_of, join
from edgefleet_controller.rollouts.rooms import rooms
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.members import Member
from edgefleet_profiles.catalogue import Catalogue

Refusals = Callable[[RolloutSpec, Iterable[VariantChange]], Mapping[VariantChange, str]]


class LateJoiners:
    """Looks at the whole fleet once per rollout, and then only at devices that have changed.

    `refused` says which changes a plan would not make, and why: a device that would make one is left as it is.
    A device in another rollout, in conflict, or unlike what it was added as is checked at every look until it is free.
    """

    def __init__(self, fleet: FleetStore, catalogue: Catalogue, refused: Refusals = lambda spec, changes: {}) -> None:
        self._fleet, self._catalogue, self._refused = fleet, catalogue, refused
        self._matchers: dict[str, Matcher] = {}
        self._revisions: dict[str, int] = {}
        self._waiting: dict[str, frozenset[str]] = {}

    def look(self, rollout: RolloutRecord) -> list[ExecutionRecord]:
        """Executions for devices that have appeared; the caller owns the transaction."""
        spec, members = rollout.spec, self._fleet.members
        revision = members.revision()
        found = self._new(rollout, revision)
        self._revisions[rollout.id] = revision
        if not found:
            self._waiting.pop(rollout.id, None)
            return []
        taken = self._taken(spec.model, found)
        self._waiting[rollout.id] = frozenset(device.id for device in found if device.id in taken)
        offered, now = offers(self._fleet, spec), now_ms()
        free = [device for device in found if device.id not in taken]
        room = rooms(self._fleet, spec.model, [device.id for device in free])
        targets = [target(device, room.get(device.id, UNKNOWN_ROOM)) for device in free]
        changes = [change_of(one, offered.get(one.profile)) for one in targets]
        refused = self._refused(spec, {change for change in changes if change})
        return [join(rollout, one, offered, now, refused) for one in targets]

    def drop(self, rollout: str) -> None:
        """Look at the whole fleet next time."""
        for known in (self._matchers, self._revisions, self._waiting):
            known.pop(rollout, None)

    def _new(self, rollout: RolloutRecord, revision: int) -> list[Member]:
        members, model, seen = self._fleet.members, rollout.spec.model, self._revisions.get(rollout.id)
        waiting = self._waiting.get(rollout.id, frozenset())
        found = [] if seen == revision else members.newcomers(rollout.id, model, seen)
        if waiting:
            found += members.some(waiting - {device.id for device in found}, model)
        if rollout.id not in self._matchers:
            self._matchers[rollout.id] = Matcher(self._catalogue, rollout.spec.selector)
        fitting = [device for device in found if self._matchers[rollout.id].matches(device)]
        # After a restore of the store: leave devices alone that a later rollout has directed.
        later = members.given_later([device.id for device in fitting], model, rollout.id) if fitting else set()
        return [device for device in fitting if device.id not in later]

    def _taken(self, model: str, devices: Sequence[Member]) -> Collection[str]:
        owners = self._fleet.rollouts.owners(model, [device.id for device in devices])
        unlike = {device.id for device in devices if added_otherwise(device.added_as, device.profile)}
        return owners.keys() | self._fleet.conflicts.all().keys() | unlike
