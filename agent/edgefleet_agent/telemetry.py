"""What the answering variants did since the last window: counts, a latency histogram, labels. Any thread may record."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from edgefleet_agent.recent import Key, RecentAnswers
from edgefleet_protocol.counters import Counters, Moments
from edgefleet_protocol.messages import TelemetryWindow

MAX_DIGITS = 9
MAX_NAMED = 10
"""How many labels an error names."""


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

    def answered(
        self, key: Key, request_id: str, seconds: float, classes: list[int], of: int, names: tuple[str, ...]
    ) -> None:
        """Count an answer.

        Args:
            key: who answered.
            request_id: the id that a label may name later.
            seconds: request in to answer out.
            classes: the class of each row; empty if the model is not a classifier.
            of: how many classes each row was chosen from.
            names: the model's label texts, by class; may be empty.
        """
        with self._lock:
            counters = self._counters(key)
            counters.serving.requests += 1
            counters.serving.latency.record(seconds)
            for index in classes:
                counters.count_category(class_name(index, names))
            self._recent.keep(request_id, key, classes, of, names)

    def failed(self, key: Key, not_finite: bool) -> None:
        """Count a request that the variant could not answer."""
        with self._lock:
            serving = self._counters(key).serving
            serving.requests += 1
            if not_finite:
                serving.not_finite += 1
            else:
                serving.errors += 1

    def label(self, model: str, request_id: str, labels: list[int | str]) -> bool | None:
        """Count the truth about an earlier request, once.

        Args:
            model: the model that was asked.
            request_id: the id of the request.
            labels: the true class of each row, as index or as label text.

        Returns:
            True when it was counted, False when it had been counted before, None for an id that is not known.

        Raises:
            ValueError: not one label per row, or a label that is none of the answer's classes; these are counted apart.
        """
        with self._lock:
            recent = self._recent.find(model, request_id)
            if recent is None:
                self.unknown_ids += 1
                return None
            if recent.labelled:
                return False
            if not recent.classes:
                raise ValueError("the answer was not [rows, classes]: which classes there are is unknown")
            if len(labels) != len(recent.classes):
                rows = len(recent.classes)
                raise ValueError(f"{len(labels)} labels for an answer of {rows} row{'s' * (rows != 1)}")
            key, of, names = recent.scope.key, recent.scope.of, recent.scope.names
            truths = [class_index(label, of, names) for label in labels]
            if none := [label for label, truth in zip(labels, truths, strict=True) if truth is None]:
                self._counters(key).serving.refused_labels += len(none)
                raise ValueError(_no_class(none[0], of, names))
            self._recent.mark_labelled(model, request_id)
            right = sum(a == b for a, b in zip(truths, recent.classes, strict=True))
            self._counters(key).scored += Moments.of_hits(len(truths), right)
            return True

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


def class_name(index: int, names: tuple[str, ...]) -> str:
    """The label text of a class, or its index as text."""
    return names[index] if index < len(names) else str(index)


def class_index(label: int | str, of: int, names: tuple[str, ...]) -> int | None:
    """The class that a label means, as index or as text; None if it is none of so many classes."""
    if isinstance(label, str):
        if label in names:
            label = names.index(label)
        elif label.isascii() and label.isdecimal() and len(label) <= MAX_DIGITS:
            label = int(label)
        else:
            return None
    return label if 0 <= label < of else None


def _no_class(label: int | str, of: int, names: tuple[str, ...]) -> str:
    shown = f"'{label[:100]}'" if isinstance(label, str) else str(label)[:100]
    named = f", or one of {', '.join(names[:MAX_NAMED])}{', ...' if len(names) > MAX_NAMED else ''}" if names else ""
    return f"label {shown} is none of the model's {of} classes: write 0 to {of - 1}{named}"


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
