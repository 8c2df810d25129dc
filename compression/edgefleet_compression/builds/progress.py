"""How far a build is: a small file that its worker rewrites, and that a reader always sees whole."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edgefleet_contract.operations import BuildProgress

INTERVAL_S = 0.1
FROM_CACHE = "from the cache"
"""What is said of a step that did not run."""


def read_progress(path: Path) -> BuildProgress | None:
    """What a build's file says; None while there is none that can be read."""
    try:
        return BuildProgress.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


class ProgressFile:
    """The file of one build, written by its worker."""

    def __init__(
        self, path: Path | None, recipe: str, weights: Sequence[float], now: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin.

        Args:
            path: the file; None writes nothing.
            recipe: the recipe's name.
            weights: how long each step is likely to take, in any unit; measuring is the last of them.
            now: seconds, for the pace of writing.
        """
        self._path = path
        self._recipe = recipe
        self._weights = weights
        self._now = now
        self._written_s = float("-inf")
        self._cached = 0.0

    def at(self, index: int, step: str, share: float, text: str) -> None:
        """Say that a share (0 to 1) of step `index` is done; a new step is written at once."""
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
