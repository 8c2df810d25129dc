"""Rollouts whose devices wait for a blob that cannot be sent are paused: waiting would decide nothing."""

from collections.abc import Callable, Iterable
from typing import Protocol

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.delivery.blob_checks import advice
from edgefleet_controller.store import FleetStore
from edgefleet_protocol.phases import Phase

BEFORE_VERIFIED: tuple[Phase, ...] = ("assigned", "notified", "downloading")
"""Phases in which a device may still have to fetch something."""


class DamageSource(Protocol):
    """The part of delivery that knows what cannot be sent."""

    def damaged(self) -> frozenset[str]:
        """Blobs that devices asked for and that cannot be sent."""

    def first_damaged(self, manifests: Iterable[str]) -> str | None:
        """The first of those that one of these variants needs."""


class UndeliverableHold:
    """Looks at every running rollout while there is a damaged blob.

    Args:
        fleet: the rollouts.
        delivery: what cannot be sent.
        halt: pauses a rollout, for a reason.
    """

    def __init__(self, fleet: FleetStore, delivery: DamageSource, halt: Callable[[str, str], None]) -> None:
        self._fleet, self._delivery, self._halt = fleet, delivery, halt

    def tick(self) -> None:
        """Pause what cannot go on."""
        if not self._delivery.damaged():
            return
        for rollout in self._fleet.rollouts.all("running"):
            waiting = manifests_waited_for(self._fleet.rollouts.executions(rollout.id))
            if blob := self._delivery.first_damaged(waiting):
                told = advice(blob, rollout.spec.model, rollout.spec.version)
                self._halt(rollout.id, f"{told}, then resume")


def manifests_waited_for(executions: Iterable[ExecutionRecord]) -> list[str]:
    """The manifests of devices that were told and may still have to fetch something."""
    told = (e for e in executions if e.generation is not None and e.phase in BEFORE_VERIFIED)
    return sorted({e.manifest for e in told if e.manifest})
