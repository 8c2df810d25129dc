"""How work in a worker process says that it is getting on, and when its silence means that it hangs.

A busy host slows everything down, so wall time alone ends nothing. Silence counts in the CPU time that the work itself
has taken meanwhile; work that takes none at all waits for what never comes.
"""

import math
from dataclasses import dataclass
from typing import Any

LONGEST_S = 17.4
"""The longest silence measured, in CPU time (82.6 s of wall time on two busy cores): ranges by entropy for a network of
3.5 million weights on 128 pictures of 224x224. The example's builds are silent for at most 5.0 s, as torch exports."""
ROOM = 50
"""A network or a data set so many times as large passes; what hangs is ended within a quarter of an hour."""
SILENT_S = 60.0 * math.ceil(LONGEST_S * ROOM / 60)
AT_REST = 0.01
"""A process that takes less than this share of a CPU does nothing."""

_count: Any = None


def begin(count: Any) -> None:
    """Let `beat` count here: a shared integer that the parent process watches."""
    global _count
    _count = count


def beat() -> None:
    """Say that the work has come further; does nothing outside a worker."""
    if _count is not None:
        _count.value += 1


@dataclass
class Stillness:
    """How long nothing was heard, in seconds of wall time and of CPU time."""

    now_s: float
    cpu_s: float
    beats: int = 0

    def ends(self, silent_s: float, now_s: float, cpu_s: float, beats: int = 0) -> bool:
        """Whether the work hangs: it has been silent for `silent_s` of its CPU time, or for that long at rest.

        Args:
            silent_s: the limit.
            now_s: a monotonic clock.
            cpu_s: all CPU time of the work so far.
            beats: its heartbeats so far.
        """
        if beats != self.beats:
            self.now_s, self.cpu_s, self.beats = now_s, cpu_s, beats
        quiet_s, used_s = now_s - self.now_s, cpu_s - self.cpu_s
        return used_s >= silent_s or (quiet_s >= silent_s and used_s < AT_REST * quiet_s)
