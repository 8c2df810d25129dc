"""What the answering variants did since the last window: counts, a latency histogram, labels. Any thread may record."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from edgefleet_agent.recent import Key, RecentAnswer, RecentAnswers
from edgefleet_agent.worker_handle import AnswerCount
from edgefleet_protocol.counters import Counters
from edgefleet_protocol.messages import TelemetryWindow
from edgefleet_protocol.moments import Moments


@dataclass
class _Open:
    began_s: float
    counters: Counters = field(default_factory=Counters)


class Recorder:
    """The open windows, one per key, and the last answers, for labels that come later.

    Args:
        monotonic_s: the monotonic clock, in seconds.
        wall_ms: the wall clock, in ms.
    """

    def __init__(self, monotonic_s: Callable[[], float], wall_ms: Callable[[], int]) -> None:
        self._monotonic_s, self._wall_ms = monotonic_s, wall_ms
        self._lock = threading.Lock()
        self._open: dict[Key, _Open] = {}
        self._recent = RecentAnswers()
        self.unknown_ids = 0

    def answered(self, key: Key, request_id: str, seconds: float, counted: AnswerCount, scorer: str) -> None:
        """Count an answer.

        Args:
            key: who answered.
            request_id: the id that a label may name later.
            seconds: request in to answer out.
            counted: what its rows count as, and their reduced form.
            scorer: how they are scored once labels come.
        """
        with self._lock:
            counters = self._counters(key)
            counters.serving.requests += 1
            counters.serving.latency.record(seconds)
            for category in counted.categories:
                counters.count_category(category)
            self._recent.keep(request_id, key, counted.answers, scorer)

    def failed(self, key: Key, not_finite: bool) -> None:
        """Count a request that the variant could not answer."""
        with self._lock:
            serving = self._counters(key).serving
            serving.requests += 1
            if not_finite:
                serving.not_finite += 1
            else:
                serving.errors += 1

    def find(self, model: str, request_id: str) -> RecentAnswer | None:
        """The answer that a label is for; None, and counted, if it is not known."""
        with self._lock:
            found = self._recent.find(model, request_id)
            self.unknown_ids += found is None
            return found

    def scored(self, recent: RecentAnswer, request_id: str, scores: list[float]) -> bool:
        """Count the scores of an answer; False if it has had its label meanwhile."""
        key = recent.scope.key
        with self._lock:
            now = self._recent.find(key.model, request_id)
            if now is None or now.labelled or now.scope != recent.scope:
                return False
            self._recent.mark_labelled(key.model, request_id)
            self._counters(key).scored += Moments.of(*scores)
            return True

    def refused(self, recent: RecentAnswer, labels: int) -> None:
        """Count labels that are none."""
        with self._lock:
            self._counters(recent.scope.key).serving.refused_labels += labels

    def close(self, model: str | None = None) -> list[TelemetryWindow]:
        """End the open windows, of one model or of all; the incarnation and the number are the spool's to give."""
        now_s, now_ms = self._monotonic_s(), self._wall_ms()
        with self._lock:
            closed = {key: window for key, window in self._open.items() if model in (None, key.model)}
            for key in closed:
                del self._open[key]
        return [_shown(key, window, now_s, now_ms) for key, window in closed.items()]

    def _counters(self, key: Key) -> Counters:
        if key not in self._open:
            self._open[key] = _Open(self._monotonic_s())
        return self._open[key].counters


def _shown(key: Key, opened: _Open, now_s: float, now_ms: int) -> TelemetryWindow:
    """Make a window at its end: its start is computed back from there, since the wall clock may have been set since."""
    duration_ms = max(round((now_s - opened.began_s) * 1000), 0)
    window = TelemetryWindow(
        incarnation="0" * 32,
        seq=1,
        first_kept_seq=1,
        model=key.model,
        model_version=key.model_version,
        variant=key.variant,
        generation=key.generation,
        duration_ms=duration_ms,
        started_ms=max(now_ms - duration_ms, 0),
        labels_checked=True,
    )
    return window.with_counters(opened.counters)
