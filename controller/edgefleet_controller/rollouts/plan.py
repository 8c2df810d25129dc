"""Which device gets which variant in which wave: pure, so that the plan shown is the plan that runs."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

from edgefleet_contract.rollouts import ExecutionRecord, RolloutSpec, WaveRecord
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts import passed_over
from edgefleet_controller.rollouts.forms import agent_lacks, fitting
from edgefleet_controller.rollouts.memory_room import UNKNOWN_ROOM, DeviceRoom
from edgefleet_controller.rollouts.offers import Assigned, Offer, not_compressed
from edgefleet_protocol.features import lacking
from edgefleet_protocol.memory_budget import HeldModel
from edgefleet_protocol.phases import Phase

IN_CONFLICT = "two agents report under this id: see `edgefleet device show`"


class PlannedDevice(NamedTuple):
    """A device that the selector matched.

    `answering` is the variant that answers there now, `features` are its agent's, `in_conflict` says whether two
    agents report under its id, `unlike` how it differs from what it was added as, and `room` what its memory holds.
    """

    device: str
    profile: str
    answering: str | None
    in_conflict: bool = False
    features: frozenset[str] = frozenset()
    unlike: str | None = None
    room: DeviceRoom = UNKNOWN_ROOM


class VariantChange(NamedTuple):
    """From which variant to which one a device goes."""

    before: str
    after: str


@dataclass(frozen=True)
class Plan:
    """Waves, numbered from 1, and their executions; `end` is given if no device has anything to install.

    `changes` counts the devices that go from one variant to another, `first` those that answer nothing yet, and
    `room_unknown` those of which it cannot be told whether the variant fits into their memory, by the reason.
    """

    waves: tuple[WaveRecord, ...]
    executions: tuple[ExecutionRecord, ...]
    changes: Mapping[VariantChange, int]
    first: int = 0
    end: passed_over.EarlyEnd | None = None
    room_unknown: Mapping[str, int] = field(default_factory=dict)


class _Fate(NamedTuple):
    """What becomes of a device at first: what it is offered, if anything, and its phase."""

    offered: Assigned | None
    phase: Phase
    detail: str | None = None

    @property
    def installs(self) -> bool:
        """Whether it has something to install."""
        return self.phase == "assigned"


def plan(
    rollout: str, spec: RolloutSpec, targets: Sequence[PlannedDevice], offers: Mapping[str, Offer], now_ms: int
) -> Plan:
    """Divide the targets into waves.

    A device's place depends only on the spec and its id, so repeated plans are the same, and every profile is spread
    evenly over the waves. No gate counts a device that is in conflict, lacks a feature, has no variant for its
    profile, or already runs it; so shares are of the others, and each wave has some of these if there are any.
    """
    ordered = _ordered(spec, targets)
    fates = [_fate(spec, target, offers) for target in ordered]
    numbers = list(_numbers(spec, [fate.installs for fate in fates]))
    executions = tuple(
        _execution(rollout, number, target, fate, now_ms)
        for number, target, fate in zip(numbers, ordered, fates, strict=True)
    )
    end = passed_over.end_at_once(executions)
    if end:
        skipped = WaveRecord(number=1, state="skipped", since_ms=now_ms, started_ms=now_ms, reason=end.reason)
        return Plan((skipped,), executions, {}, end=end)
    waves = tuple(WaveRecord(number=n, since_ms=now_ms) for n in range(1, max(numbers) + 1))
    found = Counter(
        change_of(target, fate.offered) for target, fate in zip(ordered, fates, strict=True) if fate.installs
    )
    first = found.pop(None, 0)
    changes = {change: n for change, n in found.items() if change}
    return Plan(waves, executions, changes, first, room_unknown=_room_unknown(spec, ordered, fates))


def _room_unknown(spec: RolloutSpec, targets: Sequence[PlannedDevice], fates: Sequence[_Fate]) -> dict[str, int]:
    asked = ((target.room, fate.offered) for target, fate in zip(targets, fates, strict=True) if fate.installs)
    told = (room.unknown(_held(spec, offered)) for room, offered in asked if offered)
    return dict(Counter(why for why in told if why))


def _held(spec: RolloutSpec, offered: Assigned) -> HeldModel:
    return HeldModel(spec.model, spec.version, offered.mb)


def change_of(target: PlannedDevice, offered: Offer | None) -> VariantChange | None:
    """Which change an offer is to a device that answers already."""
    if target.answering is None or not isinstance(offered, Assigned):
        return None
    return VariantChange(target.answering, offered.variant)


def _numbers(spec: RolloutSpec, install: Sequence[bool]) -> Iterator[int]:
    """The wave of each device in order, given which have something to install; the others go with the next of these."""
    total = sum(install)
    ends = sorted({math.ceil(share * total) for share in {*spec.waves, 1.0}} - {0})
    before = 0
    for installs in install:
        yield min(bisect_right(ends, before), max(len(ends) - 1, 0)) + 1
        before += installs


def join(
    rollout: RolloutRecord,
    target: PlannedDevice,
    offers: Mapping[str, Offer],
    now_ms: int,
    refused: Mapping[VariantChange, str] = MappingProxyType({}),
) -> ExecutionRecord:
    """The execution of a device that appeared after the start, placed by its hash but never in a wave that has passed.

    So a gate still counts it, and it never runs ahead of its wave. `refused` says why a plan would not make a change.
    """
    spec = rollout.spec
    place = int.from_bytes(_hash(spec, target)[:8], "big") / 2**64
    shares = sorted(set(spec.waves) | {1.0})
    fitting = next((n for n, share in enumerate(shares, start=1) if place < share), len(shares))
    still_open = next((w.number for w in rollout.waves if not w.is_over), rollout.waves[-1].number)
    wave = min(max(fitting, still_open), rollout.waves[-1].number)
    fate = _fate(spec, target, offers)
    change = change_of(target, fate.offered)
    if change and fate.installs and (why := refused.get(change)):
        fate = _Fate(fate.offered, "deferred", why)
    return _execution(rollout.id, wave, target, fate, now_ms)


def _hash(spec: RolloutSpec, target: PlannedDevice) -> bytes:
    return sha256(f"{spec.model}@{spec.version}:{spec.selector}:{target.device}".encode()).digest()


def _ordered(spec: RolloutSpec, targets: Sequence[PlannedDevice]) -> list[PlannedDevice]:
    by_hash = sorted(targets, key=lambda t: _hash(spec, t))
    ranks: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for target in by_hash:
        sizes[target.profile] = sizes.get(target.profile, 0) + 1
    placed = []
    for place, target in enumerate(by_hash):
        rank = ranks[target.profile] = ranks.get(target.profile, 0) + 1
        placed.append(((rank - 0.5) / sizes[target.profile], place, target))
    return [target for _, _, target in sorted(placed, key=lambda entry: entry[:2])]


def _fate(spec: RolloutSpec, target: PlannedDevice, offers: Mapping[str, Offer]) -> _Fate:
    offered = offers.get(target.profile) or not_compressed(f"{spec.model}@{spec.version}")
    assigned = offered if isinstance(offered, Assigned) else None
    if deferred := _why_deferred(target, assigned):
        return _Fate(assigned, "deferred", deferred)
    if not isinstance(offered, Assigned):
        return _Fate(None, "no_variant", offered.why)
    if offered.variant == target.answering:
        return _Fate(offered, "already_installed")
    too_full = target.room.refusal(_held(spec, offered))
    return _Fate(offered, "deferred", too_full) if too_full else _Fate(offered, "assigned")


def _execution(rollout: str, wave: int, target: PlannedDevice, fate: _Fate, now_ms: int) -> ExecutionRecord:
    assigned, phase, detail = fate
    form = fitting(assigned.forms, target.features) or assigned.forms[0] if assigned else None
    return ExecutionRecord(
        rollout=rollout,
        device=target.device,
        wave=wave,
        profile=target.profile,
        variant=assigned.variant if assigned else None,
        manifest=form.manifest if form else None,
        manifest_bytes=form.size_bytes if form else 0,
        phase=phase,
        detail=detail,
        changed_ms=now_ms,
    )


def _why_deferred(target: PlannedDevice, assigned: Assigned | None) -> str | None:
    if target.in_conflict:
        return IN_CONFLICT
    if target.unlike:
        return f"{target.unlike}; once that is settled, another rollout reaches it"
    if assigned is None or fitting(assigned.forms, target.features):
        return None
    return agent_lacks(lacking(assigned.forms[0].needs, target.features))
