"""Which device gets which variant in which wave: pure, so that the plan shown is the plan that runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from edgefleet_contract.rollouts import ExecutionRecord, RolloutSpec, WaveRecord
from edgefleet_controller.records import RolloutRecord
from edgefleet_protocol.features import lacking
from edgefleet_protocol.phases import Phase

IN_CONFLICT = "two agents report under this id: see `edgefleet device show`"


class PlannedDevice(NamedTuple):
    """A device that the selector matched.

    `answering` is the variant that answers there now, `features` are its agent's, and `in_conflict` says whether two
    agents report under its id.
    """

    device: str
    profile: str
    answering: str | None
    in_conflict: bool = False
    features: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Assigned:
    """The variant chosen for a profile, and the features that its manifest `needs`."""

    variant: str
    manifest: str
    manifest_bytes: int
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Waves, numbered from 1, and their executions."""

    waves: tuple[WaveRecord, ...]
    executions: tuple[ExecutionRecord, ...]


def plan(
    rollout: str, spec: RolloutSpec, targets: Sequence[PlannedDevice], choices: Mapping[str, Assigned], now_ms: int
) -> Plan:
    """Divide the targets into waves.

    A device's place depends only on the spec and its id, so repeated plans are the same, and every profile is spread
    evenly over the waves. No gate counts a device that is in conflict, lacks a feature, has no variant for its
    profile, or already runs it.
    """
    ordered = _ordered(spec, targets)
    ends = [math.ceil(share * len(ordered)) for share in sorted(set(spec.waves) | {1.0})]
    executions: list[ExecutionRecord] = []
    number, start = 0, 0
    for end in ends:
        if end <= start:
            continue
        number += 1
        executions += [_execution(rollout, number, target, choices, now_ms) for target in ordered[start:end]]
        start = end
    waves = tuple(WaveRecord(number=n, since_ms=now_ms) for n in range(1, number + 1))
    return Plan(waves, tuple(executions))


def join(
    rollout: RolloutRecord, target: PlannedDevice, choices: Mapping[str, Assigned], now_ms: int
) -> ExecutionRecord:
    """The execution of a device that appeared after the start, placed by its hash but never in a wave that has passed.

    So a gate still counts it, and it never runs ahead of its wave.
    """
    spec = rollout.spec
    place = int.from_bytes(_hash(spec, target)[:8], "big") / 2**64
    shares = sorted(set(spec.waves) | {1.0})
    fitting = next((n for n, share in enumerate(shares, start=1) if place < share), len(shares))
    still_open = next((w.number for w in rollout.waves if w.state != "passed"), rollout.waves[-1].number)
    wave = min(max(fitting, still_open), rollout.waves[-1].number)
    return _execution(rollout.id, wave, target, choices, now_ms)


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


def _execution(
    rollout: str, wave: int, target: PlannedDevice, choices: Mapping[str, Assigned], now_ms: int
) -> ExecutionRecord:
    assigned = choices.get(target.profile)
    phase: Phase = "assigned"
    detail = _why_deferred(target, assigned)
    if detail is not None:
        phase = "deferred"
    elif assigned is None:
        phase = "no_variant"
    elif assigned.variant == target.answering:
        phase = "already_installed"
    return ExecutionRecord(
        rollout=rollout,
        device=target.device,
        wave=wave,
        profile=target.profile,
        variant=assigned.variant if assigned else None,
        manifest=assigned.manifest if assigned else None,
        manifest_bytes=assigned.manifest_bytes if assigned else 0,
        phase=phase,
        detail=detail,
        changed_ms=now_ms,
    )


def _why_deferred(target: PlannedDevice, assigned: Assigned | None) -> str | None:
    if target.in_conflict:
        return IN_CONFLICT
    if assigned is None or not assigned.needs:
        return None
    missing = lacking(assigned.needs, target.features)
    return agent_lacks(missing) if missing else None


def agent_lacks(features: Sequence[str]) -> str:
    """The reason to defer a device whose agent lacks features that its variant needs."""
    return f"its agent lacks {', '.join(features)}, which the variant needs: upgrade the agent"
