"""What a device is told: every direction is a desired state, and but for the switch itself a new generation."""

from edgefleet_controller.records import DesiredRecord, ExecutionRecord, RolloutRecord
from edgefleet_controller.store import Store

RETURN_TRIAL_S = 2.0
"""A variant that answered before needs no long trial."""


class Directions:
    """Writes desired states and the executions that they belong to; the caller owns the transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def stage(self, rollout: RolloutRecord, execution: ExecutionRecord, now: int) -> None:
        """Let a device fetch its variant, and remember what it runs until then."""
        self._direct(rollout, self._with_previous(rollout, execution), activate=False, now=now)

    def activate(self, rollout: RolloutRecord, execution: ExecutionRecord, now: int) -> None:
        """Let a device switch to what it has staged."""
        self._direct(rollout, execution, activate=True, now=now)

    def hold(self, rollout: RolloutRecord, execution: ExecutionRecord, now: int) -> None:
        """Take the word to switch back."""
        self._direct(rollout, execution, activate=False, now=now)

    def send_back(self, rollout: RolloutRecord, execution: ExecutionRecord, now: int) -> None:
        """Let a device go back to what it ran before; where that was nothing, nothing is served.

        A device that has moved on is left alone: what a later rollout gave it is not this one's to take.
        """
        model = rollout.spec.model
        now_asked = next((d for d in self._store.devices.desired(execution.device) if d.model == model), None)
        if now_asked and now_asked.rollout != rollout.id:
            left = {"back_generation": now_asked.generation, "back_phase": "superseded", "changed_ms": now}
            self._store.rollouts.put_executions([execution.model_copy(update=left)])
            return
        generation = self._next_generation(execution.device, model)
        self._store.devices.put_desired(
            DesiredRecord(
                device=execution.device,
                model=model,
                generation=generation,
                manifest=execution.previous_manifest,
                manifest_bytes=execution.previous_manifest_bytes,
                rollout=rollout.id,
                activate=True,
                trial_s=min(rollout.spec.timers.trial_s, RETURN_TRIAL_S),
            )
        )
        changes = {"back_generation": generation, "back_phase": "assigned", "changed_ms": now}
        self._store.rollouts.put_executions([execution.model_copy(update=changes)])

    def _direct(self, rollout: RolloutRecord, execution: ExecutionRecord, *, activate: bool, now: int) -> None:
        model = rollout.spec.model
        generation = execution.generation or self._next_generation(execution.device, model)
        self._store.devices.put_desired(
            DesiredRecord(
                device=execution.device,
                model=model,
                generation=generation,
                manifest=execution.manifest,
                manifest_bytes=execution.manifest_bytes,
                rollout=rollout.id,
                activate=activate,
                trial_s=rollout.spec.timers.trial_s,
            )
        )
        changes = {
            "generation": generation,
            "directive": "activate" if activate else "stage",
            "directed_ms": now,
            "changed_ms": now,
        }
        self._store.rollouts.put_executions([execution.model_copy(update=changes)])

    def _with_previous(self, rollout: RolloutRecord, execution: ExecutionRecord) -> ExecutionRecord:
        known = self._store.devices.find(execution.device)
        said = known.reported.models.get(rollout.spec.model) if known else None
        if said is None or said.answering is None:
            return execution
        manifest = said.answering.manifest
        changes = {
            "previous_variant": said.answering.variant,
            "previous_manifest": manifest,
            "previous_manifest_bytes": self._store.registry.deliverable_bytes(manifest) or 0,
        }
        return execution.model_copy(update=changes)

    def _next_generation(self, device: str, model: str) -> int:
        """One more than what we gave or the device has: after a restore the device may be ahead."""
        given = [d.generation for d in self._store.devices.desired(device) if d.model == model]
        known = self._store.devices.find(device)
        reported = known.reported.models.get(model) if known else None
        return max([0, *given, reported.generation if reported else 0]) + 1
