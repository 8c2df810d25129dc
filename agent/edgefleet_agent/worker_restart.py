"""Starts the answering variant's worker with the agent, and again when it dies between requests."""

import logging
import threading
import time
from collections.abc import Callable

from edgefleet_agent.answering import Answering
from edgefleet_agent.device import Device
from edgefleet_agent.errors import AgentError, SlotRotten
from edgefleet_agent.events import Started
from edgefleet_agent.telling import named
from edgefleet_protocol.messages import Slot

log = logging.getLogger("edgefleet.agent")

START_AGAIN_S = 5.0
MAX_START_AGAIN_S = 60.0


class WorkerRestart:
    """Looks after the answering variant of one model.

    Args:
        model: its name.
        device: what all models share.
        answering: uses the worker.
        slot: returns the slot that should answer, if any, by the record.
    """

    def __init__(self, model: str, device: Device, answering: Answering, slot: Callable[[], Slot | None]) -> None:
        self._model, self._device, self._answering, self._slot = model, device, answering, slot
        self._checking: threading.Thread | None = None
        self._start_at_s: float | None = None
        self._pause_s = START_AGAIN_S

    def start(self) -> None:
        """Start the worker of the slot that should answer; posts `Started`."""
        self._start_at_s = None
        slot = self._slot()
        if slot is None or self._answering.live is not None:
            return

        def work() -> None:
            placed, failed = None, None
            try:
                placed = self._device.start(slot)
            except AgentError as error:
                log.warning("%s: %s does not start: %s", self._model, named(slot.variant, slot.model_version), error)
                failed = error
            self._device.post(Started(self._model, slot, placed, failed))

        in_background(work)

    def started(self, event: Started) -> bool:
        """Take the outcome of a start; whether the worker answers from now on."""
        slot = self._slot()
        if event.placed and slot and event.placed.slot.variant == slot.variant and self._answering.live is None:
            event.placed.slot = slot.model_copy(update={"ran_on": event.placed.slot.ran_on})
            self._pause_s = START_AGAIN_S
            self._answering.serve(event.placed)
            log.info("%s: %s answers", self._model, named(slot.variant, slot.model_version))
            return True
        if event.placed:
            event.placed.kill()
        elif slot:
            self._start_at_s = time.monotonic() + self._pause_s
            self._pause_s = min(self._pause_s * 2, MAX_START_AGAIN_S)
        return False

    def stop(self) -> None:
        """Cancel a restart: nothing should answer."""
        self._start_at_s = None

    def tick(self, now_s: float) -> None:
        """Check a worker that died, in a trial too, and start one whose pause is over."""
        if self._start_at_s is not None and now_s >= self._start_at_s:
            self.start()
        live = self._answering.live
        if live is None or live.worker.alive or (self._checking and self._checking.is_alive()):
            return
        self._checking = in_background(self._check)

    def _check(self) -> None:
        live = self._answering.live
        try:
            self._answering.check()
        except SlotRotten as error:
            if live:
                log.warning("%s: %s is lost: %s", self._model, named(live.slot.variant, live.slot.model_version), error)
                self._device.post(Started(self._model, live.slot, None, error))


def in_background(work: Callable[[], None]) -> threading.Thread:
    """Run work on a thread of its own; it posts its outcome to the loop."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
