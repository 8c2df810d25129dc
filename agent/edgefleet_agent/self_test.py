"""A candidate's self-test: load it in a worker of its own and compare its golden answers with the recorded ones."""

from pathlib import Path

from pydantic_core import to_json

from edgefleet_agent.checks import check_golden, check_tested, tolerance
from edgefleet_agent.device import Device
from edgefleet_agent.errors import AgentError, ModelFailed, Rejected, WorkerError
from edgefleet_agent.events import SelfTested
from edgefleet_agent.failpoints import reach
from edgefleet_agent.placed import Placed
from edgefleet_agent.slots import ANSWERS, GOLDEN
from edgefleet_agent.worker_handle import CPU, GoldenOrder
from edgefleet_protocol.manifest import Manifest
from edgefleet_protocol.messages import Slot
from edgefleet_protocol.phases import ReasonCode
from edgefleet_protocol.spec import Spec

MOST_TOLD = 1500
"""Characters of why a variant runs on the CPU."""


class SelfTest:
    """One self-test; `run` blocks, so it needs a thread, and posts `SelfTested`.

    A candidate that fails it with other execution providers than the CPU is tested again with the CPU alone.
    """

    def __init__(self, model: str, slot: Slot, device: Device) -> None:
        self._model, self._slot, self._device = model, slot, device
        self._placed: Placed | None = None
        self._cancelled = False

    def run(self) -> None:
        """Test the candidate; if it passes, the event carries its warm worker."""
        refused = None
        try:
            self._test()
        except AgentError as error:
            refused = _why(error, loaded=self._placed is not None)
            if self._placed:
                self._placed.kill()
        placed = None if refused else self._placed
        self._device.post(SelfTested(self._model, self._slot.generation, placed, refused))

    def cancel(self) -> None:
        """End the worker; ignore what `run` posts afterwards."""
        self._cancelled = True
        if self._placed:
            self._placed.kill()

    def _test(self) -> None:
        slots, variant = self._device.slots, self._slot.variant
        if not slots.intact(variant):
            raise Rejected("blob_corrupt", "the slot's files do not match its manifest")
        order = self._load()
        try:
            self._compare(order)
        except (Rejected, WorkerError) as error:
            failed = self._placed
            if failed is None or failed.worker.providers == CPU or self._cancelled:
                raise
            failed.kill()
            told = f"with {', '.join(failed.worker.providers)}, {error}"
            self._load(cpu_because=told[:MOST_TOLD])
            self._compare(order)
        reach("self_test_passed")

    def _load(self, cpu_because: str | None = None) -> GoldenOrder:
        self._placed = placed = self._device.start(self._slot, cpu_because)
        reach("candidate_loaded")
        if self._cancelled:
            raise Rejected("self_test_failed", "cancelled")
        return golden_order(placed.manifest, self._device.slots.path(self._slot.variant))

    def _compare(self, order: GoldenOrder) -> None:
        assert self._placed, "it is loaded before it is compared"
        check_golden(tolerance(self._placed.manifest), self._placed.worker.self_test(order))


def golden_order(manifest: Manifest, slot: Path) -> GoldenOrder:
    """What a worker needs to compare a slot's model with the answers recorded for it.

    Raises:
        Rejected: the manifest names nothing to test it with, or the answers cannot be read.
    """
    check_tested(manifest)
    core, spec = manifest.core, manifest.core.spec or Spec()
    header = {"task": core.task, "labels": core.labels, "scale": core.scale, "golden": str(slot / GOLDEN)}
    if manifest.answers is None:
        assert manifest.expected, "check_tested has passed"
        return GoldenOrder({**header, "form": "expected"}, to_json(manifest.expected.probabilities))
    try:
        answers = (slot / ANSWERS).read_bytes()
    except OSError as error:
        raise Rejected("blob_corrupt", f"the recorded answers cannot be read: {error.strerror}") from None
    return GoldenOrder({**header, "form": "reduced", "spec": spec.told()}, answers)


def _why(error: AgentError, loaded: bool) -> Rejected:
    if isinstance(error, Rejected):
        return error
    reason: ReasonCode = error.reason if isinstance(error, WorkerError) else "self_test_failed"
    if loaded and isinstance(error, ModelFailed):
        reason = "self_test_failed"
    return Rejected(reason, str(error), error.failure if isinstance(error, WorkerError) else None)
