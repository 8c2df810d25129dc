"""A slot with a worker that has loaded it: what a model's requests are put to."""

import logging
import math
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from edgefleet_agent.errors import OtherInputs, RequestError, WorkerDied, WorkerError
from edgefleet_agent.inference_statistics import InferenceStatistics
from edgefleet_agent.sequences import KeptState, Turn
from edgefleet_agent.signatures import asked_for, fits
from edgefleet_agent.telling import named
from edgefleet_agent.worker_handle import Worker, WorkerAnswer, WorkerSpec
from edgefleet_protocol.manifest import Manifest
from edgefleet_protocol.messages import Slot

log = logging.getLogger("edgefleet.agent")

RESTART_PAUSE_S = 5.0
QUICK_RESTARTS = 3


class NotFinite(WorkerError):  # noqa: N818
    """The model's answer has NaN or infinity where none may be."""

    reason = "trial_failed"


class Placed:
    """A slot with a worker that has loaded it."""

    def __init__(self, slot: Slot, manifest: Manifest, spec: WorkerSpec, worker: Worker) -> None:
        self.slot = slot
        self.manifest = manifest
        self.worker = worker
        self._spec = spec
        self._lock = threading.Lock()
        self._restarts: list[float] = []
        self._retired = False
        self._forgiving, self._has_forgiven = threading.Lock(), False
        self._asked: dict[object, float] = {}
        self.statistics = InferenceStatistics()
        self.state_kind = KeptState.of(slot.variant, slot.model_version, manifest.core)
        self.too_large_bytes = math.inf
        """The smallest request that is known to need more memory than the worker may take."""

    @property
    def scorer(self) -> str:
        """How its answers are scored once labels come; empty if they are not."""
        return self._spec.scorer or ""

    @property
    def asked_since_s(self) -> float:
        """When the oldest unanswered request came, on the monotonic clock; inf without one."""
        return min(list(self._asked.values()), default=math.inf)

    @property
    def retired(self) -> bool:
        """Whether the worker was ended on purpose."""
        return self._retired

    def take(self, request: object) -> None:
        """Note that a request came while this slot was live, whichever slot answers it in the end."""
        self._asked[request] = time.monotonic()

    def done_with(self, request: object) -> None:
        """Note that a request is over: answered, or failed with the consequences drawn."""
        del self._asked[request]

    def refusal(self, tensors: list[dict[str, Any]], turn: Turn | None) -> OtherInputs | None:
        """Why a request that was read while another variant answered is none of this one's; None if it is."""
        named = f"version {self.slot.model_version} of the model answers now"
        if not fits(tensors, self.worker.signature):
            return OtherInputs(f"{named}, and takes {asked_for(self.worker.signature)}: send these")
        if (self.state_kind is None) != (turn is None):
            does = "keeps state: name a sequence" if turn is None else "keeps no state: name no sequence"
            return OtherInputs(f"{named}, and {does}")
        return turn.refusal(self.state_kind) if turn and self.state_kind else None

    def ask(self, tensors: list[dict[str, Any]], data: bytes, turn: Turn | None = None) -> WorkerAnswer:
        """Run one request; NaN or infinity in an output that the task reads, or in the next state, is an error.

        Args:
            tensors: the name, type and shape of each tensor in `data`, in order.
            data: their values.
            turn: of its sequence, for a model with state.

        Raises:
            OtherInputs: it takes other inputs, or the sequence cannot go on here.
            RequestError: the request's values are invalid.
            WorkerError: the worker or its model failed.
        """
        if refusal := self.refusal(tensors, turn):
            raise refusal
        answer = self.worker.ask(tensors, data + (turn.given(self.state_kind) if turn and self.state_kind else b""))
        if answer.not_finite:
            raise NotFinite(answer.not_finite)
        return answer

    def revive(self) -> None:
        """Restart the worker if it has died, at most three times in quick succession.

        Raises:
            WorkerError: it does not start, or has just died too often.
        """
        with self._lock:
            if self.worker.alive or self._retired:
                return
            now = time.monotonic()
            self._restarts = [at for at in self._restarts if now - at < RESTART_PAUSE_S]
            if len(self._restarts) >= QUICK_RESTARTS:
                raise WorkerDied(f"the worker died {QUICK_RESTARTS} times within {RESTART_PAUSE_S:g} s")
            self._restarts.append(now)
            what = named(self.slot.variant, self.slot.model_version)
            log.warning("%s: the worker of %s has ended and is started again", self.manifest.model, what)
            self.worker.kill()
            self.worker = Worker(self._spec, self.worker.ask_timeout_s)
            if self._retired:
                self.worker.kill()

    def forgive(self, worker: Worker) -> bool:
        """Restart a worker that died while it scored labels, once; whether there is one again.

        Args:
            worker: the one that died, which somebody else may have replaced by now.
        """
        with self._forgiving:
            if not worker.died_scoring:
                return False
            if worker is self.worker:
                if self._has_forgiven:
                    return False
                self._has_forgiven = True
                try:
                    self.revive()
                except (WorkerError, RequestError):
                    return False
            return self.worker.alive

    def refresh(self) -> None:
        """Replace the worker after a request that was too large: onnxruntime's arena then fails small ones, too."""
        self.worker.kill()
        with suppress(WorkerError):  # the next request tries again
            self.revive()

    def limit(self, room_bytes: int) -> None:
        """Let the worker, and those that follow it, take no more than this beside what a worker takes by itself."""
        if not 0 < self._spec.room_bytes <= room_bytes:
            self._spec = replace(self._spec, room_bytes=room_bytes)
            self.worker.limit(room_bytes)

    def retire(self) -> None:
        """End the worker for good, once it has answered its current request."""
        with self._lock:
            self._retired = True
            self.worker.retire()

    def kill(self) -> None:
        """End the worker for good, at once."""
        self._retired = True
        self.worker.kill()
