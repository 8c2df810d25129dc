"""Two ways to do one thing, timed side by side on a machine that other work shares.

Each round times the reference, the subject and the reference again; rounds are compared within themselves, so that
a slow minute slows both. The reference against itself is the A/A control: where even that is off, nothing is proved.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

AA_LOW, AA_HIGH = 0.97, 1.03
CLOCKS: dict[str, Callable[[], int]] = {"thread": time.thread_time_ns, "wall": time.perf_counter_ns}
Clock = Literal["thread", "wall"]


@dataclass(frozen=True)
class Comparison:
    """By round, in microseconds: the chosen quantile of the calls of each side."""

    subject_us: list[float]
    reference_us: list[float]
    control_us: list[float]

    @property
    def ratios(self) -> list[float]:
        """Subject to reference, by round."""
        return [s / r for s, r in zip(self.subject_us, self.reference_us, strict=True)]

    @property
    def differences_us(self) -> list[float]:
        """Subject less reference, by round."""
        return [s - r for s, r in zip(self.subject_us, self.reference_us, strict=True)]

    @property
    def aa(self) -> float:
        """The reference against itself: the median of the ratios by round."""
        return statistics.median(c / r for c, r in zip(self.control_us, self.reference_us, strict=True))

    @property
    def void(self) -> str | None:
        """Why the comparison proves nothing, if it does not."""
        if AA_LOW <= self.aa <= AA_HIGH:
            return None
        return f"the A/A control is {self.aa:.3f}, not within {AA_LOW}-{AA_HIGH}: run again on a quieter machine"


def compare(
    subject: Callable[[], object],
    reference: Callable[[], object],
    *,
    clock: Clock,
    quantile: float = 0.5,
    rounds: int = 20,
    calls: int = 100,
    warm_up: int = 20,
) -> Comparison:
    """Time both, interleaved.

    Args:
        subject: what is measured.
        reference: what a user would use instead.
        clock: CPU time of this thread, or wall time.
        quantile: which quantile of the calls of a round stands for it.
        rounds: at least 20.
        calls: per side and round.
        warm_up: calls of each side before the first round.
    """
    for _ in range(warm_up):
        reference()
        subject()
    found = Comparison([], [], [])
    for number in range(rounds):
        # The control goes first in every other round: what warms up or drifts favours neither.
        sides = [(reference, found.reference_us), (subject, found.subject_us), (reference, found.control_us)]
        for call, times in sides if number % 2 == 0 else reversed(sides):
            times.append(_time(call, CLOCKS[clock], calls, quantile))
    return found


def spread(values: Sequence[float]) -> str:
    """The median with the lowest and highest: `1.20 [1.10, 1.31]`."""
    return f"{statistics.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"


def _time(call: Callable[[], object], now: Callable[[], int], calls: int, quantile: float) -> float:
    times = []
    for _ in range(calls):
        started = now()
        call()
        times.append(now() - started)
    times.sort()
    return times[min(calls - 1, int(quantile * calls))] / 1000
