"""What answers for one model: the live variant and, during a trial, the old one kept warm behind it."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgefleet_agent.errors import (
    Busy,
    ModelFailed,
    OtherInputs,
    OutOfMemory,
    RequestError,
    RequestTooLarge,
    SlotRotten,
    WorkerDied,
    WorkerError,
    WorkerTimedOut,
)
from edgefleet_agent.failpoints import reach
from edgefleet_agent.placed import NotFinite, Placed
from edgefleet_agent.sequences import Turn
from edgefleet_agent.worker_handle import Unscored, WorkerAnswer
from edgefleet_protocol.messages import ModelFailure, Slot
from edgefleet_protocol.phases import ReasonCode

MANY_SLOWER = 10
"""How much longer a sample may take in a batch than alone, before a batch that takes too long counts as a hang."""
MAX_DEATHS = 2
"""How many workers one request may crash before its client gets an error."""


@dataclass(frozen=True)
class Trouble:
    """A variant that failed in its trial."""

    slot: Slot
    reason: ReasonCode
    detail: str
    asked: bool
    """Whether a request met it; that request counts as the variant's failure."""
    not_finite: bool = False
    failure: ModelFailure | None = None


class Answering:
    """The variants of one model that have a worker; any thread may ask.

    Args:
        on_trouble: called on the asking thread when the trial's variant has failed; the old one is live by then.
    """

    def __init__(self, on_trouble: Callable[[Trouble], None]) -> None:
        self._on_trouble = on_trouble
        self._lock = threading.Lock()
        self._live: Placed | None = None
        self._old: Placed | None = None
        self._on_trial = False
        self._answered_bytes = 0
        """The largest input that any variant of this model has answered here."""

    @property
    def live(self) -> Placed | None:
        """What answers now, if anything does."""
        return self._live

    def serve(self, placed: Placed) -> None:
        """Let `placed` answer without a trial, when the agent starts."""
        with self._lock:
            ended, self._live, self._old, self._on_trial = self._live, placed, None, False
        reach("answering_again")
        _retire(ended)

    def begin_trial(self, placed: Placed) -> None:
        """Let `placed` answer, and keep the old variant warm."""
        with self._lock:
            self._old, self._live, self._on_trial = self._live, placed, True
        reach("trial_begun")

    def end_trial(self) -> Placed | None:
        """End the trial, so that no failure leads back; returns what answers: the old variant, if it just failed.

        Called before the commit is saved: no request may undo what is saved.
        """
        with self._lock:
            self._on_trial = False
            reach("trial_held")
            return self._live

    def commit(self) -> None:
        """The trial held: end the old worker."""
        with self._lock:
            ended, self._old, self._on_trial = self._old, None, False
        _retire(ended)
        reach("old_worker_ended")

    def roll_back(self) -> None:
        """Let the old variant answer again, if there is one, and end the trial's worker."""
        with self._lock:
            ended, self._live, self._old = (self._live, self._old, None) if self._on_trial else (None, self._live, None)
            self._on_trial = False
        reach("rolled_back")
        _retire(ended)

    def stop(self) -> None:
        """Stop answering, and end both workers at once."""
        with self._lock:
            ended = (self._live, self._old)
            self._live = self._old = None
            self._on_trial = False
        for placed in ended:
            if placed:
                placed.kill()
        reach("answering_stopped")

    def drop(self, variant: str) -> None:
        """Stop answering if this variant is live and not in a trial."""
        with self._lock:
            found = self._live is not None and self._live.slot.variant == variant and not self._on_trial
            ended = self._live if found else None
            self._live = None if found else self._live
        _retire(ended)

    def adopt(self, slot: Slot) -> None:
        """Let the live variant answer for another generation."""
        with self._lock:
            if self._live:
                self._live.slot = slot
        reach("adopted")

    def ask(self, tensors: list[dict[str, Any]], data: bytes, turn: Turn | None = None) -> tuple[WorkerAnswer, Placed]:
        """Run one request on the live variant, and once more if it fails in a trial or its worker dies.

        Inference has no side effects, so a request may run twice, and a client never notices a worker's death. Of a
        sequence's state, too, only what the answer leaves is ever kept, and that by whoever gave the answer.

        Raises:
            RequestError: the request's values are invalid or too many, nothing answers, or what answers takes others.
            WorkerError: the worker or its model failed twice.
        """
        live = self._live
        if live is not None and len(data) >= live.too_large_bytes:
            raise self._told_too_large(live, data)
        try:
            answered = self._ask(tensors, data, turn)
        except WorkerError as error:
            if live is None or not self._is_too_large(live, error, data):
                raise
            raise self._too_large(error, data, live) from error
        self._answered_bytes = max(self._answered_bytes, len(data))
        return answered

    def score(self, scorer: str, answers: bytes, labels: list[Any]) -> list[float] | Unscored:
        """Score answers by their labels, in a trial in the old variant's worker.

        So whatever labels do to a worker says nothing of the variant on trial, and each death of its worker is its own.
        Without an old one, the first death while labels are scored is forgiven, if it answers on: a model could hide
        no more than that behind labels.

        Raises:
            RequestError: nothing answers.
            WorkerError: the worker failed.
        """
        with self._lock:
            live, old, on_trial = self._live, self._old, self._on_trial
        by = old if on_trial and old else live
        if by is None:
            raise RequestError(503, "not ready: no variant answers yet")
        if by is not live:
            by.revive()
        worker = by.worker
        try:
            return worker.score(scorer, answers, labels)
        except WorkerError:
            if on_trial and by is live:
                by.forgive(worker)
            raise

    def _ask(self, tensors: list[dict[str, Any]], data: bytes, turn: Turn | None) -> tuple[WorkerAnswer, Placed]:
        failed: WorkerError | None = None
        deaths = 0
        request = object()
        while deaths < MAX_DEATHS:
            with self._lock:
                live, old, on_trial = self._live, self._old, self._on_trial
                if live is not None:
                    live.take(request)
            if live is None:
                raise failed or RequestError(503, "not ready: no variant answers yet")
            try:
                if on_trial:
                    return self._ask_on_trial(live, old, tensors, data, turn)
                if failed:
                    live.revive()
                return live.ask(tensors, data, turn), live
            except WorkerError as error:
                if not _crashed(error):
                    raise
                failed = error
            finally:
                live.done_with(request)
            # A worker that was just retired did not die of this request: another one is live by now.
            deaths += not live.retired
        raise failed or WorkerDied("no worker answered")

    def _ask_on_trial(
        self, live: Placed, old: Placed | None, tensors: list[dict[str, Any]], data: bytes, turn: Turn | None
    ) -> tuple[WorkerAnswer, Placed]:
        worker = live.worker
        try:
            return live.ask(tensors, data, turn), live
        except Busy:
            if old is None or old.refusal(tensors, turn):
                raise
            # The new one may be hanging; the request that it hangs on will find out.
            old.revive()
            return old.ask(tensors, data, turn), old
        except WorkerError as error:
            if old is None and _crashed(error) and live.forgive(worker):
                return live.ask(tensors, data, turn), live
            return self._fall_back(live, old, error, tensors, data, turn), old or live

    def _fall_back(
        self,
        live: Placed,
        old: Placed | None,
        error: WorkerError,
        tensors: list[dict[str, Any]],
        data: bytes,
        turn: Turn | None,
    ) -> WorkerAnswer:
        try:
            if old is None:
                raise error
            old.revive()
            answer = old.ask(tensors, data, turn)
        except OtherInputs:  # nobody else can say whose fault it was
            self._demote(live, error)
            raise
        except WorkerError:
            if self._is_too_large(live, error, data):
                raise self._too_large(error, data, live, *([old] if old else [])) from None
            # A request that both variants fail is at fault itself; a crash never is the request's fault.
            if _crashed(error) or old is None:
                self._demote(live, error)
            raise
        self._demote(live, error)
        return answer

    def _is_too_large(self, live: Placed, error: WorkerError, data: bytes) -> bool:
        """Whether a failure is the request's: it has more samples than were ever answered, and they need too much.

        A variant that crashes or hangs within its limits is at fault, however large the request.
        """
        row_bytes = live.worker.row_bytes
        if len(data) <= max(self._answered_bytes, row_bytes):
            return False
        if isinstance(error, WorkerTimedOut):
            row_s = live.statistics.row_s
            return row_s is None or len(data) / row_bytes * row_s * MANY_SLOWER > live.worker.ask_timeout_s
        return _of_memory(error)

    def _too_large(self, error: WorkerError, data: bytes, *asked: Placed) -> RequestTooLarge:
        """Draw the consequences before the request ends: a worker that is dead by then would end the trial."""
        for placed in asked:
            if _of_memory(error):
                placed.too_large_bytes = min(placed.too_large_bytes, len(data))
            placed.refresh()
        return self._told_too_large(asked[0], data)

    def _told_too_large(self, live: Placed, data: bytes) -> RequestTooLarge:
        row_bytes = live.worker.row_bytes
        return RequestTooLarge(len(data), max(self._answered_bytes // row_bytes, 1), row_bytes)

    def check(self) -> None:
        """Restart the live worker if it died, or end its trial.

        Raises:
            SlotRotten: it died, and its slot has changed on disk.
        """
        with self._lock:
            live, on_trial = self._live, self._on_trial
        if live is None or live.worker.alive:
            return
        if on_trial:
            if self._old is None and live.forgive(live.worker):
                return
            if math.isinf(live.asked_since_s):  # a request under way knows better what it died of
                self._demote(live, WorkerDied("the worker ended during the trial"), asked=False)
        else:
            try:
                live.revive()
            except SlotRotten:
                raise
            except (WorkerError, RequestError):
                pass  # it has just died too often: the next check tries again

    def _demote(self, failed: Placed, error: WorkerError, asked: bool = True) -> None:
        with self._lock:
            if not self._on_trial or self._live is not failed:
                return
            self._live, self._old, self._on_trial = self._old, None, False
        reason: ReasonCode = "trial_failed" if isinstance(error, ModelFailed) else error.reason
        # Without an old variant the request fails and is counted where it was asked.
        asked = asked and self._live is not None
        self._on_trouble(Trouble(failed.slot, reason, str(error), asked, isinstance(error, NotFinite), error.failure))
        threading.Thread(target=failed.kill, daemon=True).start()


def _of_memory(error: WorkerError) -> bool:
    return isinstance(error, OutOfMemory) or (isinstance(error, WorkerDied) and error.of_memory)


def _crashed(error: WorkerError) -> bool:
    return isinstance(error, WorkerDied | WorkerTimedOut)


def _retire(placed: Placed | None) -> None:
    # A worker that is still answering may take a moment; nobody waits for it.
    if placed:
        threading.Thread(target=placed.retire, daemon=True).start()
