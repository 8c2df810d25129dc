"""What a variant's requests took since its worker was placed, as Triton's statistics extension tells it."""

import threading
from dataclasses import dataclass, field
from typing import Any

_NAMES = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")


@dataclass
class Took:
    """How many, and how long in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.count += 1
        self.ns += round(max(seconds, 0.0) * 1e9)


@dataclass(frozen=True)
class Spent:
    """Where the seconds of one answered request went: reading it, waiting in line, the model, and the reply."""

    input_s: float
    queue_s: float
    infer_s: float
    output_s: float


@dataclass
class InferenceStatistics:
    """The statistics of one placed variant; any thread may count."""

    inferences: int = 0
    last_ms: int = 0
    _took: dict[str, Took] = field(default_factory=lambda: {name: Took() for name in _NAMES})
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, spent: Spent, rows: int, now_ms: int) -> None:
        """Count a request that was answered; it has `rows` inferences."""
        parts = {
            "queue": spent.queue_s,
            "compute_input": spent.input_s,
            "compute_infer": spent.infer_s,
            "compute_output": spent.output_s,
        }
        with self._lock:
            self.inferences, self.last_ms = self.inferences + rows, now_ms
            for name, seconds in {"success": sum(parts.values()), **parts}.items():
                self._took[name].add(seconds)

    def failed(self, seconds: float) -> None:
        """Count a request that reached the model and was not answered."""
        with self._lock:
            self._took["fail"].add(seconds)

    @property
    def row_s(self) -> float | None:
        """How long the model took for one sample, in seconds; None before the first answer."""
        with self._lock:
            return self._took["compute_infer"].ns / 1e9 / self.inferences if self.inferences else None

    def shown(self) -> dict[str, Any]:
        """The counts, by Triton's names; a cache there is not, so that nothing hits or misses it."""
        with self._lock:
            return {
                "last_inference": self.last_ms,
                "inference_count": self.inferences,
                "execution_count": self._took["success"].count,
                "inference_stats": {name: {"count": one.count, "ns": one.ns} for name, one in self._took.items()},
            }
