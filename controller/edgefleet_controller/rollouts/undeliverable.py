"""Pauses rollouts whose devices wait for a damaged blob, as waiting longer would not help."""

from collections.abc import Callable, Iterable
from typing import Protocol

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_controller.delivery.blob_checks import advice
from edgefleet_controller.store import FleetStore
from edgefleet_protocol.phases import Phase

BEFORE_VERIFIED: tuple[Phase, ...] = ("assigned", "notified", "downloading")
"""Phases in which a device may still have to fetch something."""


class DamageSource(Protocol):
    """The part of delivery that knows which blobs cannot be sent."""

    def damaged(self) -> frozenset[str]:
        """Blobs that devices asked for and that cannot be sent."""

    def first_damaged(self, manifests: Iterable[str]) -> str | None:
        """The first of these blobs that one of the variants needs."""


class UndeliverableHold:
    """Checks every running rollout while there is a damaged blob.

    Args:
        fleet: the fleet's store.
        delivery: knows which blobs cannot be sent.
        halt: pauses a rollout, given its id and a reason.
    """

    def __init__(self, fleet: FleetStore, delivery: DamageSource, halt: Callable[[str, str], None]) -> None:
        self._fleet, self._delivery, self._halt = fleet, delivery, halt

    def tick(self) -> None:
        """Pause rollouts that cannot continue."""
        if not self._delivery.damaged():
            return
        for rollout in self._fleet.rollouts.all("running"):
            waiting = manifests_waited_for(self._fleet.rollouts.executions(rollout.id))
            if blob := self._delivery.first_damaged(waiting):
                told = advice(blob, rollout.spec.model, rollout.spec.version)
                self._halt(rollout.id, f"{told}, then resume")


def manifests_waited_for(executions: Iterable[ExecutionRecord]) -> list[str]:
    """The manifests of devices that were directed and may still have to fetch something."""
    told = (e for e in executions if e.generation is not None and e.phase in BEFORE_VERIFIED)
    return sorted({e.manifest for e in told if e.manifest})
