"""Activations of an ONNX graph on samples: enough to choose ranges, and to see what rounding shifts."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgefleet_compression.heartbeat import beat
from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.batches import at_once, given_by, readable, watched
from edgefleet_compression.samples import Feed

BATCH = 8
VALUES_PER_SAMPLE = 1024
MOST_VALUES = 2**26
"""Kept of all tensors together: 256 MB."""
SHRINKS = np.linspace(1.0, 0.3, 36)
LEVELS = 256
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """One tensor over all samples: some of its values, its range, and its mean sample where it holds samples."""

    values: Array
    low: float
    high: float
    mean: Array | None

    @property
    def is_finite(self) -> bool:
        """Whether its range is."""
        return bool(np.isfinite([self.low, self.high]).all())


def observe(model: onnx.ModelProto, asked: Asked) -> dict[str, Seen]:
    """Run a graph and watch its inputs and every float tensor that a node gives.

    Args:
        model: with float32 weights.
        asked: samples.
    """
    answered = int(asked.steps.sum())
    watches: dict[str, _Watch] = {}
    with tempfile.TemporaryDirectory(prefix="edgefleet-watched-") as folder:
        session = watched(model, given_by(model), Path(folder))
        names = readable(session)
        values = min(VALUES_PER_SAMPLE, max(1, MOST_VALUES // (answered * (len(names) + 1))))

        def run(feed: Feed) -> Sequence[Any]:
            return list(session.run(names, dict(feed)))

        for feed, count, answers in asked.asks(run, names, at_once(model, asked.one(), BATCH)):
            beat()
            for name, answer in [*feed.items(), *zip(names, answers, strict=True)]:
                if isinstance(answer, np.ndarray) and answer.dtype == np.float32 and answer.size:
                    watches.setdefault(name, _Watch()).add(answer, count, values)
    return {name: watch.seen(answered) for name, watch in watches.items()}


class _Watch:
    """What is kept of one tensor, batch after batch: sums and some values, and never the batches."""

    def __init__(self) -> None:
        self._values: list[Array] = []
        self._low, self._high = float("inf"), float("-inf")
        self._total: Array | None = None
        self._holds_samples = True

    def add(self, answer: Array, samples: int, values: int) -> None:
        flat = answer.reshape(-1)
        # An odd step visits all channels and places of a shape that is even, as most are.
        step = max(1, flat.size // (values * samples)) | 1
        self._values.append(flat[::step].copy())
        self._low, self._high = min(self._low, float(flat.min())), max(self._high, float(flat.max()))
        with np.errstate(over="ignore", invalid="ignore"):  # of masks
            self._sum(answer, samples)

    def _sum(self, answer: Array, samples: int) -> None:
        same = self._total is None or self._total.shape == answer.shape[1:]
        self._holds_samples &= answer.ndim > 1 and len(answer) == samples and same
        if not self._holds_samples:
            self._total = None
        elif self._total is None:
            self._total = answer.sum(0)
        else:
            self._total += answer.sum(0)

    def seen(self, samples: int) -> Seen:
        """All of it together."""
        mean = None if self._total is None else np.asarray(self._total / samples, np.float32)
        return Seen(np.concatenate(self._values), self._low, self._high, mean)


def least_error(seen: Seen) -> tuple[float, float]:
    """The range whose rounding and clipping to 256 levels together change the values least, in squares."""
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if not low < high:
        return low, high
    errors = [_error(seen.values, low * shrink, high * shrink) for shrink in SHRINKS]
    best = float(SHRINKS[int(np.argmin(errors))])
    return low * best, high * best


def _error(values: Array, low: float, high: float) -> float:
    scale = (high - low) / (LEVELS - 1)
    zero = round(-low / scale)
    rounded = (np.clip(np.round(values / scale) + zero, 0, LEVELS - 1) - zero) * scale
    return float(np.square(rounded - values).mean())
