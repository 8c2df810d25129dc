"""The progress of a build, in a small file that is replaced as a whole."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edgefleet_compression.heartbeat import beat
from edgefleet_contract.operations import BuildProgress

INTERVAL_S = 0.1
FROM_CACHE = "from the cache"
"""The text of a step that did not have to run."""


def read_progress(path: Path) -> BuildProgress | None:
    """Read a build's progress file; None if it is missing or unreadable."""
    try:
        return BuildProgress.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


class ProgressFile:
    """The progress file of one build, written by its worker."""

    def __init__(
        self, path: Path | None, recipe: str, weights: Sequence[float], now: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin.

        Args:
            path: of the file; None writes nothing.
            recipe: the recipe's name.
            weights: expected duration of each step, in any unit; the last one is for measuring.
            now: a clock in seconds, which limits how often the file is written.
        """
        self._path = path
        self._recipe = recipe
        self._weights = weights
        self._now = now
        self._written_s = float("-inf")
        self._cached = 0.0

    def at(self, index: int, step: str, share: float, text: str) -> None:
        """Record that a share (0 to 1) of step `index` is done; a new step is written at once."""
        beat()
        now = self._now()
        if text == FROM_CACHE:
            self._cached += self._weights[index]
        if self._path is None or (0 < share < 1 and now - self._written_s < INTERVAL_S):
            return
        self._written_s = now
        done = sum(self._weights[:index]) + self._weights[index] * min(max(share, 0.0), 1.0)
        value = BuildProgress(
            recipe=self._recipe,
            step=step,
            step_index=index,
            steps=len(self._weights),
            fraction=round(done / sum(self._weights), 4),
            cached=round(self._cached / sum(self._weights), 4),
            text=text,
        )
        partial = self._path.with_name(f"{self._path.name}.partial")
        partial.write_text(value.model_dump_json(), encoding="utf-8")
        partial.replace(self._path)
