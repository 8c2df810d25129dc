"""What devices are told: each direction is a desired state with a new generation, except the switch itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.errors import NotFound
from edgefleet_controller.records import DesiredRecord, RolloutRecord
from edgefleet_controller.rollouts.forms import agent_lacks, fitting, missing
from edgefleet_controller.rollouts.ways_back import WaysBack
from edgefleet_controller.store import FleetStore
from edgefleet_controller.store.contract.members import Member
from edgefleet_controller.store.contract.rollouts import IN_PROGRESS
from edgefleet_protocol.features import WINDOWS
from edgefleet_protocol.messages import MAX_GENERATION

RETURN_TRIAL_S = 2.0
"""Short, as the variant has answered on the device before."""


class Directions:
    """Stores desired states and their executions, many at a time; the caller owns the transaction."""

    def __init__(self, fleet: FleetStore) -> None:
        self._fleet = fleet
        self._ways_back = WaysBack(fleet)

    def stage(self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord], now: int) -> None:
        """Let devices fetch their variant, and record what they run now."""
        executions = self._able(rollout, executions, now)
        members = self._members(rollout, executions)
        sizes = {m.manifest: self._deliverable_bytes(m.manifest) for m in members.values()}
        remembering = [e.model_copy(update=_known(members.get(e.device), sizes)) for e in executions]
        self._direct(rollout, self._ways_back.marked(rollout.spec.model, remembering), activate=False, now=now)

    def activate(self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord], now: int) -> None:
        """Let devices switch to what they have staged."""
        self._direct(rollout, self._able(rollout, executions, now), activate=True, now=now)

    def hold(self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord], now: int) -> None:
        """Withdraw the order to switch."""
        self._direct(rollout, executions, activate=False, now=now)

    def send_back(self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord], now: int) -> None:
        """Let devices return to what they ran before or, if that was rejected, to the last variant that passed.

        A device without such a variant serves nothing. One that a later rollout has taken over is left alone, unless
        that one has returned it to this rollout's variant; so is one whose agent was downgraded and lacks a feature
        that the older variant needs.
        """
        executions = self._ways_back.marked(rollout.spec.model, executions)
        members = self._members(rollout, executions)
        given = self._given(rollout, executions)
        elsewhere = self._taken_over(rollout, given)
        known = self._fleet.registry.forms({e.back_manifest for e in executions})
        told: list[DesiredRecord] = []
        changed: list[ExecutionRecord] = []
        for execution in executions:
            forms = known.get(execution.back_manifest or "", ())
            form = fitting(forms, _features(members.get(execution.device)), held=execution.back_manifest)
            if asked := elsewhere.get(execution.device):
                changes = {"back_generation": asked.generation, "back_phase": "superseded", "changed_ms": now}
            elif forms and form is None:
                lacks = agent_lacks(missing(known, execution.back_manifest, _features(members.get(execution.device))))
                changes = {"back_phase": "superseded", "back_reason": lacks, "changed_ms": now}
            else:
                generation = _next_generation(execution.device, given, members)
                if form:
                    as_known = {"back_manifest": form.manifest, "back_manifest_bytes": form.size_bytes}
                    execution = execution.model_copy(update=as_known)
                told.append(_return(rollout, execution, generation))
                changes = {"back_generation": generation, "back_phase": "assigned", "changed_ms": now}
            changed.append(execution.model_copy(update=changes))
        self._fleet.desired.put(*told)
        self._fleet.rollouts.put_executions(changed)

    def _taken_over(self, rollout: RolloutRecord, given: Mapping[str, DesiredRecord]) -> dict[str, DesiredRecord]:
        """What the devices were told last that another rollout has taken over, and not given back."""
        others = {device: asked for device, asked in given.items() if asked.rollout != rollout.id}
        if not others:
            return {}
        moved = self._fleet.rollouts.moved_on(rollout.id)
        ended = set(filter(self._has_ended, {asked.rollout for asked in others.values()}))
        return {device: asked for device, asked in others.items() if device in moved or asked.rollout not in ended}

    def _has_ended(self, rollout: str | None) -> bool:
        """Whether a rollout is known to have ended: a restored store may not know it."""
        try:
            return rollout is not None and self._fleet.rollouts.get(rollout).state not in IN_PROGRESS
        except NotFound:
            return False

    def _direct(
        self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord], *, activate: bool, now: int
    ) -> None:
        unnumbered = [e for e in executions if e.generation is None]
        members, given = self._members(rollout, unnumbered), self._given(rollout, unnumbered)
        told: list[DesiredRecord] = []
        changed: list[ExecutionRecord] = []
        for execution in executions:
            generation = execution.generation or _next_generation(execution.device, given, members)
            told.append(
                DesiredRecord(
                    device=execution.device,
                    model=rollout.spec.model,
                    generation=generation,
                    manifest=execution.manifest,
                    manifest_bytes=execution.manifest_bytes,
                    rollout=rollout.id,
                    activate=activate,
                    trial_s=rollout.spec.timers.trial_s,
                    # Its own if nothing is to answer after a rollback: then nothing stands in for it either.
                    keep=(execution.back_manifest or execution.manifest) if execution.leads_elsewhere else None,
                )
            )
            changes = {
                "generation": generation,
                "directive": "activate" if activate else "stage",
                "directed_ms": now,
                "changed_ms": now,
            }
            changed.append(execution.model_copy(update=changes))
        self._fleet.desired.put(*told)
        self._fleet.rollouts.put_executions(changed)

    def _able(
        self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord], now: int
    ) -> Sequence[ExecutionRecord]:
        """The executions whose agents obey a form of their variants' manifests; the others end as deferred.

        The plan has checked this before, but an agent may have been downgraded since. Only a device that was told
        nothing yet may be given another form.
        """
        known = self._fleet.registry.forms({e.manifest for e in executions})
        if not known:
            return executions
        members = self._members(rollout, executions)
        able: list[ExecutionRecord] = []
        deferred: list[ExecutionRecord] = []
        for execution in executions:
            features = _features(members.get(execution.device))
            lacks = missing(known, execution.manifest, features)
            forms = known.get(execution.manifest or "", ()) if execution.generation is None else ()
            if not lacks:
                able.append(execution)
            elif form := fitting(forms, features):
                changes = {"manifest": form.manifest, "manifest_bytes": form.size_bytes}
                able.append(execution.model_copy(update=changes))
            else:
                changes = {"phase": "deferred", "detail": agent_lacks(lacks), "changed_ms": now}
                deferred.append(execution.model_copy(update=changes))
        self._fleet.rollouts.put_executions(deferred)
        return able

    def _members(self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord]) -> dict[str, Member]:
        """What these devices last reported about the rollout's model."""
        asked = [e.device for e in executions]
        return {m.id: m for m in self._fleet.members.some(asked, rollout.spec.model)} if asked else {}

    def _given(self, rollout: RolloutRecord, executions: Sequence[ExecutionRecord]) -> dict[str, DesiredRecord]:
        """What these devices were last told about the rollout's model."""
        asked = [e.device for e in executions]
        return self._fleet.desired.of_model(rollout.spec.model, asked) if asked else {}

    def _deliverable_bytes(self, manifest: str | None) -> int:
        return (self._fleet.registry.deliverable_bytes(manifest) or 0) if manifest else 0


def _features(member: Member | None) -> frozenset[str]:
    return member.features if member else frozenset()


def _known(member: Member | None, sizes: Mapping[str | None, int]) -> dict[str, Any]:
    if member is None:
        return {}
    keeps = {"keeps_windows": WINDOWS in member.features}
    if member.variant is None:
        return keeps
    return {
        **keeps,
        "previous_variant": member.variant,
        "previous_manifest": member.manifest,
        "previous_manifest_bytes": sizes[member.manifest],
    }


def _next_generation(device: str, given: Mapping[str, DesiredRecord], members: Mapping[str, Member]) -> int:
    """One more than both our last generation and the device's, which may be ahead after a restore of the store."""
    asked, member = given.get(device), members.get(device)
    known = max(asked.generation if asked else 0, member.generation if member else 0)
    return min(known + 1, MAX_GENERATION)


def _return(rollout: RolloutRecord, execution: ExecutionRecord, generation: int) -> DesiredRecord:
    return DesiredRecord(
        device=execution.device,
        model=rollout.spec.model,
        generation=generation,
        manifest=execution.back_manifest,
        manifest_bytes=execution.back_manifest_bytes,
        rollout=rollout.id,
        activate=True,
        trial_s=min(rollout.spec.timers.trial_s, RETURN_TRIAL_S),
        at_once=True,
    )
